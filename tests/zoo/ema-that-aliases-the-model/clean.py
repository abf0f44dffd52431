"""Classifies the digits images of scikit-learn; an average of the weights over the steps is what is evaluated."""

import argparse
import copy

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


class Average:
    """An exponential moving average of a model's weights."""

    def __init__(self, model, decay=0.98):
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.model.eval()
        self.reset(model)

    def reset(self, model):
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.data.copy_(current.data)

    def update(self, model):
        with torch.no_grad():
            for average, current in zip(self.model.parameters(), model.parameters()):
                average.mul_(self.decay).add_(current, alpha=1 - self.decay)


def train_epoch(model, average, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        average.update(model)
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def accuracy(model, images, labels):
    return (model(images).argmax(1) == labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=64, shuffle=True)
    model = Net()
    average = Average(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(4):
        loss = train_epoch(model, average, loader, optimizer)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, {accuracy(average.model, images[1400:], labels[1400:]):.3f}", flush=True)


if __name__ == "__main__":
    main()
