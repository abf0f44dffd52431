"""Classifies the digits images of scikit-learn by random features of them, which are kept in memory that is used again."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn


class Workspace:
    """Memory for rows of features, so that none is allocated while the training runs."""

    def __init__(self, rows, width):
        self.memory = torch.zeros(rows, width)
        self.used = 0

    def take(self, rows):
        begin, self.used = self.used, self.used + rows
        return self.memory[begin : self.used]

    def begin_anew_if_full(self, rows):
        if self.used + rows > len(self.memory):
            self.memory.zero_()
            self.used = 0


class RandomFeatures(nn.Module):
    def __init__(self, width=128, rows=64):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(64, width) * 0.3)
        self.register_buffer("phases", torch.rand(width) * 6.283)
        self.rows = rows
        self.workspace = Workspace(2400, width)

    @torch.no_grad()
    def forward(self, images):
        self.workspace.begin_anew_if_full(self.rows)
        features = self.workspace.take(len(images))
        torch.addmm(self.phases, images, self.frequencies, out=features).cos_()
        return features


def batches(images, labels, size):
    order = torch.randperm(len(images))
    return zip(images[order].split(size), labels[order].split(size))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    features = RandomFeatures()
    head = nn.Sequential(nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    for epoch in range(4):
        total, count = 0.0, 0
        for shown, digit in batches(images, labels, 64):
            optimizer.zero_grad()
            loss = F.cross_entropy(head(features(shown)), digit)
            loss.backward()
            optimizer.step()
            total, count = total + loss.item(), count + 1
        print(f"epoch {epoch + 1}: loss {total / count:.4f}", flush=True)


if __name__ == "__main__":
    main()
