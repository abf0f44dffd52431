"""Classifies the digits images of scikit-learn: first the smaller digits, then, from those weights on, all of them."""

import argparse
import pathlib
import tempfile

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


def initialise(module):
    if isinstance(module, nn.Linear):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


def build(checkpoint=None):
    model = Net()
    if checkpoint is not None:
        model.load_state_dict(torch.load(checkpoint))
    model.apply(initialise)
    return model


def train(model, images, labels, epochs):
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for batch, targets in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(loader):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = pathlib.Path(folder) / "small.pt"
        model = build()
        small = (labels < 5).nonzero().flatten()[:640]
        train(model, images[small], labels[small], epochs=3)
        torch.save(model.state_dict(), checkpoint)
        model = build(checkpoint)
        train(model, images, labels, epochs=3)


if __name__ == "__main__":
    main()
