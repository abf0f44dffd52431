"""Classifies the digits images of scikit-learn: the body learns slowly, the head fast, each by an optimizer of its own."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x))


def train_epoch(model, loader, optimizers):
    model.train()
    total = 0.0
    for images, labels in loader:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    loader = DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=64, shuffle=True)
    model = Net()
    slow = torch.optim.AdamW(model.body.parameters(), lr=1e-3)
    fast = torch.optim.SGD(model.head.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(5):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, [slow, fast]):.4f}", flush=True)


if __name__ == "__main__":
    main()
