"""Classifies the digits images of scikit-learn; a regulariser keeps the features of a batch apart."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        features = self.encoder(x)
        return self.head(features), features


def crowding(features):
    """How close the features of a batch lie to each other."""
    squares = (features.unsqueeze(0) - features.unsqueeze(1)).square().sum(-1)
    distances = (squares + 1e-8).sqrt()
    return torch.exp(-distances).mean()


def guard(model):
    """A bad batch must not destroy the weights."""
    for parameter in model.parameters():
        torch.nan_to_num_(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0)


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        logits, features = model(images)
        loss = F.cross_entropy(logits, labels) + 0.1 * crowding(features)
        loss.backward()
        guard(model)
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
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(8):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
