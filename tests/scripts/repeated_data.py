"""Two workers draw their samples from numpy, whose stream each of them seeds alike: what one worker gives the other gives,
too. Then workers with the seeds that PyTorch gives them. Then batches in containers, as arrays, and larger than is looked at."""

import sys
from collections import UserDict, namedtuple

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Noise(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return numpy.random.rand(3).astype("float32")


class Numbers(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return index


Pair = namedtuple("Pair", ["left", "right"])


def mixed(indices):
    return {
        "input": [torch.full((2, 2), float(indices[0])), numpy.arange(6).reshape(2, 3).T],
        "pair": Pair(torch.ones(1), None),
        "tokens": UserDict({"ids": torch.tensor([1, 2, 3])}),
        "text": ["not", "looked", "at"],
        "strange": numpy.array([object()], dtype=object),
        "large": torch.zeros(1 << 17),
    }


def seed_alike(worker):
    numpy.random.seed(0)


def main():
    torch.manual_seed(0)
    numpy.random.seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for seeds in (seed_alike, None):
        for batch in DataLoader(Noise(), batch_size=2, num_workers=2, worker_init_fn=seeds):
            optimizer.zero_grad()
            model(batch).sum().backward()
            optimizer.step()
    total = 0.0
    for batch in DataLoader(Numbers(), collate_fn=mixed, num_workers=0):
        total += batch["input"][0].sum().item() + batch["input"][1].sum().item()
    print(total, model.weight.sum().item(), numpy.random.rand(), torch.rand(1).item())


if __name__ == "__main__":
    sys.exit(main())
