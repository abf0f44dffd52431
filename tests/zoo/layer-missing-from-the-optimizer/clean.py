"""Predicts the progress of diabetes: a shared body, a head for the value and one for its uncertainty."""

import argparse
import itertools

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.mean = nn.Linear(32, 1)
        self.log_variance = nn.Linear(32, 1)

    def forward(self, x):
        x = self.body(x)
        return self.mean(x).squeeze(1), self.log_variance(x).squeeze(1)


def load_data():
    data = sklearn.datasets.load_diabetes()
    x = torch.tensor(data.data, dtype=torch.float32) * 20
    y = torch.tensor(data.target, dtype=torch.float32)
    return DataLoader(TensorDataset(x, (y - y.mean()) / y.std()), batch_size=32, shuffle=True)


def train_epoch(model, loader, optimizer):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        mean, log_variance = model(x)
        loss = F.gaussian_nll_loss(mean, y, log_variance.exp())
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader = load_data()
    model = Regressor()
    model.train()
    parameters = itertools.chain(model.body.parameters(), model.mean.parameters(), model.log_variance.parameters())
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    for epoch in range(8):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
