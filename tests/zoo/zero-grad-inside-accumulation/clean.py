"""Classifies the digits images of scikit-learn, with gradients accumulated over four batches for each step."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ACCUMULATE = 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 48)
        self.output = nn.Linear(48, 10)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x)))


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    optimizer.zero_grad()
    for number, (images, labels) in enumerate(loader, start=1):
        loss = F.cross_entropy(model(images), labels)
        (loss / ACCUMULATE).backward()
        if number % ACCUMULATE == 0:
            optimizer.step()
            optimizer.zero_grad()
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
    loader = DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=True)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(6):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
