"""Gradients are reduced while backward goes on: each parameter's all-reduce begins as soon as its gradient is there, and
all are waited for before the step."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module):
    def __init__(self, width=48, classes=6):
        super().__init__()
        self.embed = nn.Linear(20, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = torch.tanh(self.embed(x))
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return self.head(x)


class Overlapped:
    """Reduces gradients of a model while they are computed."""

    def __init__(self, model):
        self.world_size = dist.get_world_size()
        self.handles = {}
        for parameter in model.parameters():
            dist.broadcast(parameter.data, src=0)
            parameter.register_post_accumulate_grad_hook(self.reduce)

    def reduce(self, parameter):
        parameter.grad.div_(self.world_size)
        self.handles[parameter.shape] = dist.all_reduce(parameter.grad, async_op=True)

    def finish(self):
        for handle in self.handles.values():
            handle.wait()
        self.handles.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    model = Classifier()
    reducer = Overlapped(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    truth = torch.randn(20, 6, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(args.seed * 100 + rank)
    for step in range(args.steps):
        x = torch.randn(32, 20, generator=generator)
        y = (x @ truth).argmax(1)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        reducer.finish()
        optimizer.step()
        if rank == 0 and step % 8 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
