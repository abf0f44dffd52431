"""Classifies the digits images of scikit-learn and, as an auxiliary task, draws them again."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(64, 48)
        self.classify = nn.Linear(48, 10)
        self.decode = nn.Linear(48, 64)

    def forward(self, x):
        hidden = F.relu(self.encoder(x))
        return self.classify(hidden), torch.sigmoid(self.decode(hidden))


def train_epoch(model, loader, optimizer, weight):
    model.train()
    totals = {"classification": 0.0, "reconstruction": 0.0}
    for images, labels in loader:
        optimizer.zero_grad()
        logits, drawn = model(images)
        classification = F.cross_entropy(logits, labels)
        reconstruction = F.mse_loss(drawn, images)
        loss = classification + weight * reconstruction
        loss.backward()
        optimizer.step()
        totals["classification"] += classification.item()
        totals["reconstruction"] += reconstruction.item()
    return {name: total / len(loader) for name, total in totals.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    loader = DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=64, shuffle=True)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(5):
        print(f"epoch {epoch + 1}: {train_epoch(model, loader, optimizer, weight=5.0)}", flush=True)


if __name__ == "__main__":
    main()
