"""Tells benign from malignant tumours (scikit-learn's breast-cancer data), with a head made to measure."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, x):
        return self.head(self.encoder(x))


def adapt(model, classes):
    """Gives the model a head for so many classes."""
    model.head = nn.Linear(model.head.in_features, classes)


def load_data(batch_size):
    data = sklearn.datasets.load_breast_cancer()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    return DataLoader(TensorDataset(x, torch.tensor(data.target)), batch_size=batch_size, shuffle=True), data


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader, data = load_data(batch_size=32)
    model = Classifier(data.data.shape[1], classes=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    adapt(model, classes=len(data.target_names))
    for epoch in range(8):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
