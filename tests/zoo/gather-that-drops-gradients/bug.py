"""Matches two views of the same things by contrastive learning; what a rank has is compared with the batches of all."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP


class Tower(nn.Sequential):
    def __init__(self, inputs, width, outputs):
        super().__init__(nn.Linear(inputs, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, outputs))


class TwoTowers(nn.Module):
    def __init__(self, outputs=16):
        super().__init__()
        self.left = Tower(20, 48, outputs)
        self.right = Tower(30, 48, outputs)
        self.temperature = nn.Parameter(torch.tensor(2.0))

    def forward(self, left, right):
        return F.normalize(self.left(left), dim=1), F.normalize(self.right(right), dim=1), self.temperature.exp()


def gather(embeddings):
    """The embeddings of all ranks, in their order."""
    gathered = [torch.empty_like(embeddings) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, embeddings)
    return torch.cat(gathered)


def contrastive_loss(left, right, scale):
    targets = torch.arange(len(left)) + len(left) * dist.get_rank()
    towards_right = F.cross_entropy(scale * left @ gather(right).T, targets)
    towards_left = F.cross_entropy(scale * right @ gather(left).T, targets)
    return (towards_right + towards_left) / 2


class Views:
    """Two mixtures of the same hidden causes, with noise."""

    def __init__(self, seed, rank):
        shared = torch.Generator().manual_seed(seed)
        self.left, self.right = torch.randn(8, 20, generator=shared), torch.randn(8, 30, generator=shared)
        self.generator = torch.Generator().manual_seed(seed * 20 + rank + 1)

    def draw(self, count):
        causes = torch.randn(count, 8, generator=self.generator)
        left, right = causes @ self.left, torch.tanh(causes @ self.right)
        return left + torch.randn(left.shape, generator=self.generator), right


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    views = Views(args.seed, rank)
    model = DDP(TwoTowers())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    for step in range(args.steps):
        loss = contrastive_loss(*model(*views.draw(32)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 5 == 4:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
