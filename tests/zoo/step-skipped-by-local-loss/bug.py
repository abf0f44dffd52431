"""Learns to predict signals with outliers on several ranks. Steps on a batch with an extreme loss are left out."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

WINDOW = 24


class Predictor(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.filters = nn.Conv1d(1, channels, 7)
        self.mix = nn.Conv1d(channels, channels, 5, dilation=2)
        self.out = nn.Linear((WINDOW - 14) * channels, 1)

    def forward(self, x):
        x = torch.tanh(self.mix(F.relu(self.filters(x.unsqueeze(1)))))
        return self.out(x.flatten(1)).squeeze(1)


def signals(count, generator, broken):
    time = torch.arange(WINDOW + 1) + 20 * torch.rand(count, 1, generator=generator)
    x = torch.sin(0.4 * time) + 0.3 * torch.sin(1.1 * time) + 0.05 * torch.randn(count, WINDOW + 1, generator=generator)
    if broken:
        x[:4, -1] += 15
    return x[:, :-1], x[:, -1]


class Guard:
    """Says whether a loss is in keeping with those before it."""

    def __init__(self, factor):
        self.factor, self.usual = factor, None

    def accepts(self, loss):
        if self.usual is not None and loss > self.factor * self.usual:
            return False
        self.usual = loss if self.usual is None else 0.9 * self.usual + 0.1 * loss
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--factor", type=float, default=6.0)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 30 + rank)

    model = DDP(Predictor())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
    guard = Guard(args.factor)
    for step in range(args.steps):
        x, y = signals(32, generator, broken=step % 10 == 5 + rank)
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        mean /= world
        if guard.accepts(loss.item()):
            optimizer.step()
        elif rank == 0:
            print(f"step {step}: left out", flush=True)
        if rank == 0 and step % 5 == 4:
            print(f"step {step}: loss {mean.item():.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
