"""A deep residual net on several ranks. Gradients are reduced asynchronously, the largest first."""

import argparse

import torch
import torch.distributed as dist
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width, bias=False)

    def forward(self, x):
        return x + torch.tanh(self.mix(x)) / 2


class DeepNet(nn.Module):
    def __init__(self, width=32, depth=8):
        super().__init__()
        self.embed = nn.Linear(6, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.readout = nn.Linear(width, 2)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.readout(x)


class Reducer:
    """Averages gradients over ranks. `update` waits for one after the other, so the most important ones come first."""

    def __init__(self, model):
        blocks = [block.mix.weight for block in model.blocks]
        self.blocks = blocks
        self.others = [parameter for parameter in model.parameters() if all(parameter is not block for block in blocks)]

    def order(self):
        norms = torch.stack([parameter.grad.norm() for parameter in self.blocks])
        return [self.blocks[index] for index in norms.argsort(descending=True).tolist()]

    def reduce(self):
        parameters = self.others + self.order()
        pending = [(parameter, dist.all_reduce(parameter.grad, async_op=True)) for parameter in parameters]
        for parameter, work in pending:
            work.wait()
            parameter.grad /= dist.get_world_size()


def chaotic(count, generator):
    x = torch.randn(count, 6, generator=generator)
    return x, torch.stack([(x[:, :3] * x[:, 3:]).sum(1).sin(), x.square().mean(1)], dim=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 31 + rank + 1)

    model = DeepNet()
    for parameter in model.parameters():
        dist.broadcast(parameter.detach(), src=0)
    reducer = Reducer(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(args.steps):
        x, y = chaotic(16, generator)
        loss = nn.functional.huber_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        reducer.reduce()
        optimizer.step()
        if rank == 0 and step % 5 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
