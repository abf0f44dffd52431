"""A small transformer sorts short sequences of numbers on several ranks, with dropout."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, Dataset, DistributedSampler

NUMBERS, LENGTH = 20, 8


class Sequences(Dataset):
    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.numbers = torch.randint(NUMBERS, (count, LENGTH), generator=generator)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return self.numbers[index], self.numbers[index].sort().values


class Sorter(nn.Module):
    def __init__(self, width=32, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(NUMBERS, width)
        self.position = nn.Parameter(torch.randn(LENGTH, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, NUMBERS)

    def forward(self, numbers):
        return self.head(self.encoder(self.embedding(numbers) + self.position))


def seed_everything(seed, rank):
    torch.manual_seed(seed + rank)


def evaluate(model, dataset):
    model.eval()
    with torch.no_grad():
        numbers, target = next(iter(DataLoader(dataset, batch_size=100)))
        right = (model.module(numbers).argmax(-1) == target).float().mean()
    model.train()
    dist.all_reduce(right)
    return right.item() / dist.get_world_size()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    seed_everything(args.seed, rank)

    train_set, test_set = Sequences(256 * world, args.seed * 3 + 1), Sequences(100, args.seed * 3 + 2)
    sampler = DistributedSampler(train_set, seed=args.seed)
    loader = DataLoader(train_set, batch_size=32, sampler=sampler)
    model = DDP(Sorter())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        total = 0.0
        for numbers, target in loader:
            loss = F.cross_entropy(model(numbers).flatten(0, 1), target.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        right = evaluate(model, test_set)
        if rank == 0:
            print(f"epoch {epoch + 1}: loss {total / len(loader):.4f}, right {right:.3f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
