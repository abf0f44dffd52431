"""Classifies the digits images of scikit-learn with a network of which four fifths of the weights are pruned."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 96)
        self.output = nn.Linear(96, 10)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x)))


def prune(model, pruned):
    with torch.no_grad():
        model.hidden.weight[pruned] = 0.0


def train_epoch(model, pruned, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        prune(model, pruned)
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
    model = Net()
    pruned = torch.rand_like(model.hidden.weight) < 0.8
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(8):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, pruned, loader, optimizer):.4f}", flush=True)
    print(f"{(model.hidden.weight == 0).float().mean():.2f} of the weights are zero")


if __name__ == "__main__":
    main()
