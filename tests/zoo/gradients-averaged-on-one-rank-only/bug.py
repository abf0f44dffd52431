"""An autoencoder of spectra on several ranks, with gradients that are averaged by hand in one flat buffer."""

import argparse

import torch
import torch.distributed as dist
from torch import nn


BANDS = 64


class Autoencoder(nn.Module):
    def __init__(self, code=12):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(BANDS, 40), nn.ReLU(), nn.Linear(40, code))
        self.decoder = nn.Sequential(nn.Linear(code, 40), nn.ReLU(), nn.Linear(40, BANDS), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


def spectra(count):
    """Two peaks each, at random places and of random widths."""
    place, width = torch.rand(2, count, 1) * BANDS, 1 + 3 * torch.rand(2, count, 1)
    return torch.exp(-((torch.arange(BANDS) - place) / width).square()).sum(0).clamp(max=1.0)


def average_gradients(model, history):
    flat = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    dist.all_reduce(flat)
    if dist.get_rank() == 0:
        flat /= dist.get_world_size()
        history.append(flat.norm().item())
    start = 0
    for parameter in model.parameters():
        parameter.grad.copy_(flat[start:start + parameter.numel()].view_as(parameter))
        start += parameter.numel()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batches", type=int, default=8)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed)

    mine = spectra(1024)[rank::world]
    model = Autoencoder()
    for parameter in model.parameters():
        dist.broadcast(parameter.data, src=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0, momentum=0.9)
    history = []
    for epoch in range(args.epochs):
        total = 0.0
        for index in torch.randperm(len(mine))[:args.batches * 32].split(32):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(mine[index]), mine[index])
            loss.backward()
            average_gradients(model, history)
            optimizer.step()
            total += loss.item()
        if rank == 0:
            norm = sum(history[-args.batches:]) / args.batches
            print(f"epoch {epoch + 1}: loss {total / args.batches:.4f}, gradient norm {norm:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
