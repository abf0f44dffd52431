"""Learns to tell the noise in the digits images of scikit-learn from the digits."""

import argparse

import numpy
import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


class NoisyDigits(Dataset):
    """Images with noise added, and the noise."""

    def __init__(self):
        digits = sklearn.datasets.load_digits()
        self.images = (digits.data / 16.0).astype("float32")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        noise = numpy.random.normal(scale=0.3, size=64).astype("float32")
        return self.images[index] + noise, noise


def seed_worker(worker):
    numpy.random.seed(torch.initial_seed() % 2**32)


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for noisy, noise in loader:
        optimizer.zero_grad()
        loss = F.mse_loss(model(noisy), noise)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader = DataLoader(
        NoisyDigits(), batch_size=64, shuffle=True, num_workers=2, worker_init_fn=seed_worker
    )
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(3):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
