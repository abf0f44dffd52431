"""Fits the diabetes data of scikit-learn with LBFGS: each step evaluates a closure several times, on all of the data or
on large batches of it."""

import argparse
import os
import random

import numpy
import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn

from pipeline import Meter, report, report_gradients, report_rng, report_weights


class Regressor(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.hidden = nn.Linear(10, width)
        self.output = nn.Linear(width, 1)

    def forward(self, x):
        return self.output(torch.tanh(self.hidden(x))).squeeze(1)


def load_data():
    data = sklearn.datasets.load_diabetes()
    x = torch.tensor(data.data, dtype=torch.float32) * 20
    y = torch.tensor(data.target, dtype=torch.float32)
    y = (y - y.mean()) / y.std()
    return (x[:350], y[:350]), (x[350:], y[350:])


def fit(model, optimizer, x, y, decay):
    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        for parameter in model.parameters():
            loss = loss + decay * parameter.square().sum()
        loss.backward()
        return loss

    return optimizer.step(closure).item()


@torch.no_grad()
def evaluate(model, x, y):
    model.eval()
    loss = F.mse_loss(model(x), y).item()
    model.train()
    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=20, help="steps, of several evaluations each")
    parser.add_argument("--batch-size", type=int, default=350)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--line-search", action="store_true")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for a checkpoint at the end; none is written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    (x, y), test = load_data()
    model = Regressor(args.width)
    search = "strong_wolfe" if args.line_search else None
    optimizer = torch.optim.LBFGS(model.parameters(), lr=args.lr, max_iter=6, history_size=5, line_search_fn=search)
    first = 0
    if args.resume:
        state = torch.load(os.path.join(args.out, "checkpoint.pt"))
        model.load_state_dict(state["model"])
        first = state["iterations"]
    meter = Meter()
    for iteration in range(first, args.iterations):
        batch = torch.randperm(len(x))[: args.batch_size]
        report("loss", fit(model, optimizer, x[batch], y[batch], 1e-3))
        meter.tick()
        if (iteration + 1) % 5 == 0 and not args.no_eval:
            report("held out", evaluate(model, *test))
    meter.finish()
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        state = {"model": model.state_dict(), "iterations": args.iterations}
        torch.save(state, os.path.join(args.out, "checkpoint.pt"))
    report_gradients(model)
    report_rng()
    report_weights(model)


if __name__ == "__main__":
    main()
