"""Classifies the digits images of scikit-learn by logistic regression, trained with LBFGS on large batches."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class LogisticRegression(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x):
        return self.linear(x)


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels) + 1e-3 * model.linear.weight.square().sum()
            loss.backward()
            return loss

        total += optimizer.step(closure).item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=600, shuffle=True)
    model = LogisticRegression(64, 10)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    for epoch in range(10):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
