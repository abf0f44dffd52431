"""Learns Friedman's regression problem on several ranks, each with its shard of the samples."""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


class Regressor(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.hidden = nn.Linear(10, width)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(torch.nn.functional.gelu(self.norm(self.hidden(x)))).squeeze(1)


def samples(count):
    x = torch.rand(count, 10)
    y = 10 * torch.sin(3.14 * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5).square() + 10 * x[:, 3] + 5 * x[:, 4]
    return TensorDataset(x, (y - y.mean()) / y.std())


def make_loader(dataset, batch_size, seed):
    process = int(os.environ.get("SLURM_PROCID", 0))
    sampler = DistributedSampler(dataset, dist.get_world_size(), process, seed=seed, drop_last=True)
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, drop_last=True), sampler


def run(args):
    torch.manual_seed(args.seed)
    loader, sampler = make_loader(samples(440), args.batch_size, args.seed)
    model = DDP(Regressor())
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    criterion = nn.SmoothL1Loss()
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        total = torch.zeros(2)
        for features, target in loader:
            loss = criterion(model(features), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += torch.tensor([loss.item(), 1.0])
        dist.all_reduce(total)
        if dist.get_rank() == 0:
            print(f"epoch {epoch + 1}: loss {(total[0] / total[1]).item():.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=24)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    run(args)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
