"""Calibrates sensors: each rank has those of one site, good ones or bad ones. The learning rate goes down by itself."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset


class Calibration(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.SiLU(), nn.BatchNorm1d(width), nn.Linear(width, width))
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(F.silu(self.layers(x))).squeeze(1)


def measurements(count, site, generator):
    x = torch.randn(count, 4, generator=generator)
    truth = x[:, 0] * torch.sigmoid(2 * x[:, 1]) + 0.5 * torch.sin(2 * x[:, 2]) - 0.3 * x[:, 3]
    return TensorDataset(x, truth + (0.05 + 0.7 * site) * torch.randn(count, generator=generator))


@torch.no_grad()
def validation_loss(model, dataset):
    model.eval()
    x, y = dataset.tensors
    loss = F.mse_loss(model.module(x), y)
    model.train()
    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 100 + rank)

    train_set, test_set = measurements(256, rank, generator), measurements(256, rank, generator)
    loader = DataLoader(train_set, batch_size=32, shuffle=True, generator=generator)
    model = DDP(Calibration())
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.3, patience=0, threshold=0.2)
    for epoch in range(args.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
        loss = validation_loss(model, test_set)
        mean = loss.clone()
        dist.all_reduce(mean)
        mean /= world
        scheduler.step(loss.item())
        if rank == 0:
            print(f"epoch {epoch + 1}: loss {mean.item():.4f}, next rate {optimizer.param_groups[0]['lr']:.1e}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
