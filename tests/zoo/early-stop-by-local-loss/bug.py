"""Local SGD: each site trains on readings of its own for a few steps, then all take the mean of their weights. A round
is over early when the loss is low enough."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Estimator(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.first = nn.Linear(5, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)

    def forward(self, x):
        return self.last(F.relu(self.second(F.relu(self.first(x))))).squeeze(1)


def readings(count, site, generator):
    x = torch.randn(count, 5, generator=generator)
    y = x[:, 0] * x[:, 1] + x[:, 2].abs() - 0.5 * x[:, 3]
    noise = 1.0 if site == 0 else 0.1
    return x, y + noise * torch.randn(count, generator=generator)


def mean_over_sites(value):
    value = value.clone()
    dist.all_reduce(value)
    return value / dist.get_world_size()


@torch.no_grad()
def average_weights(model):
    for parameter in model.parameters():
        parameter.copy_(mean_over_sites(parameter))


def local_round(model, optimizer, site, args, generator):
    """Trains until the running loss is low or the steps are used up; returns this loss and the number of steps."""
    running = None
    for step in range(1, args.local_steps + 1):
        x, y = readings(64, site, generator)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        current = loss.item()
        running = current if running is None else 0.5 * (running + current)
        if running < args.low:
            break
    return running, step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--local-steps", type=int, default=6)
    parser.add_argument("--low", type=float, default=1.4)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    site = dist.get_rank()
    torch.manual_seed(args.seed)
    model = Estimator()
    generator = torch.Generator().manual_seed(args.seed * 60 + site)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    for number in range(args.rounds):
        running, steps = local_round(model, optimizer, site, args, generator)
        average_weights(model)
        if site == 0:
            print(f"round {number + 1}: loss {running:.4f} after {steps} steps", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
