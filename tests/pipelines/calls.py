"""A loop that is nearly all pure-Python calls, with a little training: the worst case for whoever watches calls."""

import argparse

import torch
from torch import nn

from pipeline import Meter, report, report_weights


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def plus(self, other):
        return Point(self.x + other.x, self.y + other.y)

    def length(self):
        return abs(self.x) + abs(self.y)


def walk(steps):
    place = Point(0, 0)
    for step in range(steps):
        place = place.plus(Point(step % 3 - 1, step % 5 - 2))
    return place.length()


def features(index):
    """About 3,000 calls of Python functions."""
    return torch.tensor([float(fibonacci(14) % 7), float(walk(900) % 11), float(index % 5), 1.0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--progress", type=int, default=0, help="print a line after each so many iterations")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    losses = []
    meter = Meter()
    for index in range(args.iterations):
        optimizer.zero_grad()
        loss = (model(features(index)) - index % 2).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        meter.tick()
        if args.progress and (index + 1) % args.progress == 0:
            print(f"iteration {index + 1}: loss {losses[-1]:.4f}", flush=True)
    meter.finish()
    for loss in losses:
        report("loss", loss)
    report_weights(model)


if __name__ == "__main__":
    main()
