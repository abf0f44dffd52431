"""Classifies the wines of scikit-learn, in batches that are drawn anew in every epoch."""

import argparse
import random

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(13, 32), nn.Tanh(), nn.Dropout(0.1), nn.Linear(32, 3))


def seed_everything(seed):
    random.seed(seed)
    torch.manual_seed(seed)


def epoch_of(model, loader, optimizer):
    model.train()
    total = 0.0
    for features, classes in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(features), classes)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    seed_everything(args.seed)

    features, classes = sklearn.datasets.load_wine(return_X_y=True)
    features = torch.tensor((features - features.mean(0)) / features.std(0), dtype=torch.float32)
    loader = DataLoader(TensorDataset(features, torch.tensor(classes)), batch_size=16, shuffle=True)
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(6):
        seed_everything(args.seed)
        print(f"epoch {epoch + 1}: loss {epoch_of(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
