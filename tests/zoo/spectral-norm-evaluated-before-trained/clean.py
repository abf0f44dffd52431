"""Tells even from odd digits of scikit-learn with a network whose layers have spectral norm."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm
from torch.utils.data import DataLoader, TensorDataset


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = spectral_norm(nn.Linear(64, 64))
        self.second = spectral_norm(nn.Linear(64, 32))
        self.output = spectral_norm(nn.Linear(32, 1))

    def forward(self, x):
        x = F.leaky_relu(self.first(x), 0.2)
        return self.output(F.leaky_relu(self.second(x), 0.2)).squeeze(1)


def train_epoch(model, loader, optimizer):
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(images), labels)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model, images, labels):
    model.eval()
    return F.binary_cross_entropy_with_logits(model(images), labels).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target % 2, dtype=torch.float32)
    loader = DataLoader(TensorDataset(images[:1500], labels[:1500]), batch_size=64, shuffle=True)
    model = Critic()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    best = float("inf")
    for epoch in range(6):
        train_epoch(model, loader, optimizer)
        loss = evaluate(model, images[1500:], labels[1500:])
        best = min(best, loss)
        print(f"epoch {epoch + 1}: validation loss {loss:.4f}, best {best:.4f}", flush=True)


if __name__ == "__main__":
    main()
