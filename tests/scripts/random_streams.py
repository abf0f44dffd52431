"""Moves streams of random numbers one at a time between points at which they are looked at. Prints the state of each
stream at each of these points, as the libraries tell it, so that equal states have equal lines."""

import hashlib
import json
import random

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def states():
    name, words, position, *_ = numpy.random.get_state()
    return {
        "torch.default_generator": torch.get_rng_state().numpy().tobytes(),
        "random": repr(random.getstate()).encode(),
        "numpy.random": words.tobytes() + bytes([position % 256, position // 256]),
    }


def main():
    torch.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    # One iteration: from here on everything is recorded.
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    loader = DataLoader(TensorDataset(torch.ones(2, 2)), generator=torch.Generator().manual_seed(1))
    moves = [
        lambda: None,
        lambda: torch.rand(1),
        # The second of a pair of normal samples is kept for the next.
        lambda: torch.randn(1),
        lambda: torch.randn(1),
        lambda: random.random(),
        lambda: random.gauss(0, 1),
        lambda: random.gauss(0, 1),
        lambda: numpy.random.rand(),
        lambda: numpy.random.seed(0),
        lambda: None,
    ]
    for move in moves:
        move()
        line = {name: hashlib.sha256(state).hexdigest() for name, state in states().items()}
        print(json.dumps(line), flush=True)
        for _ in loader:
            pass
    print(json.dumps([random.random(), numpy.random.rand(), torch.rand(1).item()]))


if __name__ == "__main__":
    main()
