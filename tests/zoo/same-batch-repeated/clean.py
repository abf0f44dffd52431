"""Classifies the digits images of scikit-learn, shuffled once, with a small network."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 48)
        self.output = nn.Linear(48, 10)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x)))


def endless(loader):
    while True:
        yield from loader


def train(model, loader, optimizer, steps):
    model.train()
    batches = endless(loader)
    for step in range(steps):
        images, labels = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        if step % 20 == 19:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    order = torch.randperm(len(digits.target))
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)[order]
    labels = torch.tensor(digits.target)[order]
    loader = DataLoader(TensorDataset(images, labels), batch_size=64)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, loader, optimizer, steps=100)


if __name__ == "__main__":
    main()
