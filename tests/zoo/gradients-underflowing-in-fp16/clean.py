"""Classifies the digits images of scikit-learn in half precision, with a copy of the weights in full precision."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LOSS_SCALE = 8192.0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 32)] + [nn.Linear(32, 32) for _ in range(7)])
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def update(model, master, optimizer):
    for half, full in zip(model.parameters(), master):
        full.grad = half.grad.float() / LOSS_SCALE
    optimizer.step()
    with torch.no_grad():
        for half, full in zip(model.parameters(), master):
            half.copy_(full)


def train_epoch(model, master, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        model.zero_grad()
        loss = F.cross_entropy(model(images.half()), labels)
        (loss * LOSS_SCALE).backward()
        update(model, master, optimizer)
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    model = Net().half()
    master = [parameter.detach().float() for parameter in model.parameters()]
    optimizer = torch.optim.Adam(master, lr=3e-3)
    for epoch in range(6):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, master, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
