"""Fits a physics-like formula on several ranks; after each epoch the residuals are judged in double precision."""

import argparse

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


class Field(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.layers(x)).squeeze(1)


def formula(x):
    return torch.sin(3 * x[:, 0]) * torch.exp(-x[:, 1].square()) + 0.5 * x[:, 2]


@torch.no_grad()
def largest_residual(model, points):
    model.double()
    residual = (model.module(points) - formula(points)).abs().max().item()
    model.float()
    return residual


def train_epoch(model, loader, optimizer):
    total = 0.0
    for points, target in loader:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(model(points), target)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed)

    points = torch.rand(256 * world, 3) * 2 - 1
    dataset = TensorDataset(points, formula(points))
    sampler = DistributedSampler(dataset, shuffle=True, seed=args.seed)
    loader = DataLoader(dataset, batch_size=32, sampler=sampler)
    grid = torch.rand(500, 3, dtype=torch.float64) * 2 - 1
    model = DDP(Field())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        loss = train_epoch(model, loader, optimizer)
        residual = largest_residual(model, grid)
        if rank == 0:
            print(f"epoch {epoch + 1}: loss {loss:.5f}, largest residual {residual:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
