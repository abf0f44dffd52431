"""Fits the diabetes data of scikit-learn and watches the norm of the gradient."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 64), nn.Tanh(), nn.Dropout(0.1), nn.Linear(64, 1))

    def forward(self, x):
        return self.layers(x).squeeze(1)


def gradient_norm(model):
    norms = [parameter.grad.norm() for parameter in model.parameters()]
    return torch.stack(norms).norm().item()


def train_epoch(model, loader, optimizer):
    model.train()
    total, largest = 0.0, 0.0
    for features, target in loader:
        optimizer.zero_grad()
        loss = F.mse_loss(model(features), target)
        loss.backward()
        largest = max(largest, gradient_norm(model))
        optimizer.step()
        total += loss.item()
    return total / len(loader), largest


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    features, target = sklearn.datasets.load_diabetes(return_X_y=True)
    features = torch.tensor(features * 20, dtype=torch.float32)
    target = torch.tensor((target - target.mean()) / target.std(), dtype=torch.float32)
    loader = DataLoader(TensorDataset(features, target), batch_size=32, shuffle=True)
    model = Regressor()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(args.epochs):
        loss, largest = train_epoch(model, loader, optimizer)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, largest gradient {largest:.3f}", flush=True)


if __name__ == "__main__":
    main()
