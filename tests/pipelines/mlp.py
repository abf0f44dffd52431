"""A tiny multi-layer perceptron on the wine data of scikit-learn: steps of well under a millisecond."""

import argparse
import os

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn

from pipeline import Meter, report, report_weights


class MLP(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(13, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
        )

    def forward(self, x):
        return self.layers(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--progress", type=int, default=0, help="print a line after each so many iterations")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for a checkpoint at the end; none is written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    wine = sklearn.datasets.load_wine()
    x = torch.tensor(wine.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(wine.target)

    model = MLP(args.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    first = 0
    if args.resume:
        checkpoint = torch.load(os.path.join(args.out, "checkpoint.pt"))
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        first = checkpoint["iterations"]
    losses = []
    meter = Meter()
    for iteration in range(first, args.iterations):
        batch = torch.randint(len(y), (args.batch_size,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        meter.tick()
        if args.progress and (iteration + 1) % args.progress == 0:
            print(f"iteration {iteration + 1}: loss {losses[-1]:.4f}", flush=True)
    meter.finish()
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iterations": args.iterations}
        torch.save(checkpoint, os.path.join(args.out, "checkpoint.pt"))
    for loss in losses:
        report("loss", loss)
    report_weights(model)


if __name__ == "__main__":
    main()
