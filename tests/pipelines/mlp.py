"""A tiny multi-layer perceptron on the wine data of scikit-learn: steps of well under a millisecond."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn

from pipeline import Meter, report, report_weights


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x):
        return self.layers(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=500)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    wine = sklearn.datasets.load_wine()
    x = torch.tensor(wine.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(wine.target)

    model = MLP()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    meter = Meter()
    for _ in range(args.iterations):
        batch = torch.randint(len(y), (args.batch_size,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        meter.tick()
    meter.finish()
    for loss in losses:
        report("loss", loss)
    report_weights(model)


if __name__ == "__main__":
    main()
