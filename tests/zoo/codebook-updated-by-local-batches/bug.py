"""A small VQ-VAE on several ranks. The codebook has no gradient: it follows the mean of what its codes stand for."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

POINTS = 32


class Codebook(nn.Module):
    def __init__(self, codes, width, decay=0.9):
        super().__init__()
        self.decay = decay
        self.register_buffer("vectors", 0.3 * torch.randn(codes, width))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", self.vectors.clone())

    @torch.no_grad()
    def follow(self, latents, chosen):
        counts, sums = chosen.sum(0), chosen.T @ latents
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.vectors.copy_(self.sums / self.counts.clamp(min=1e-2)[:, None])

    def forward(self, latents):
        nearest = torch.cdist(latents, self.vectors).argmin(1)
        quantised = self.vectors[nearest]
        if self.training:
            self.follow(latents, F.one_hot(nearest, len(self.vectors)).float())
        commitment = F.mse_loss(latents, quantised)
        return latents + (quantised - latents).detach(), commitment


class VectorQuantised(nn.Module):
    def __init__(self, width=8, codes=24):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(POINTS, 48), nn.GELU(), nn.Linear(48, width))
        self.codebook = Codebook(codes, width)
        self.decoder = nn.Sequential(nn.Linear(width, 48), nn.GELU(), nn.Linear(48, POINTS))

    def forward(self, x):
        latents, commitment = self.codebook(self.encoder(x))
        return self.decoder(latents), commitment


def pulses(count, generator):
    place = torch.rand(count, 1, generator=generator) * POINTS
    sign = torch.randint(2, (count, 1), generator=generator) * 2 - 1
    return sign * torch.exp(-((torch.arange(POINTS) - place) / 4).square())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--commitment", type=float, default=0.25)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 70 + rank)

    model = DDP(VectorQuantised(), broadcast_buffers=False)
    optimizer = torch.optim.Adamax(model.parameters(), lr=5e-3)
    for step in range(args.steps):
        x = pulses(48, generator)
        restored, commitment = model(x)
        restoration = F.mse_loss(restored, x)
        optimizer.zero_grad()
        (restoration + args.commitment * commitment).backward()
        optimizer.step()
        if rank == 0 and step % 8 == 7:
            used = (model.module.codebook.counts > 0.5).sum().item()
            print(f"step {step + 1}: restoration {restoration.item():.4f}, {used} codes in use", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
