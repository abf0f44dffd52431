"""Trains a network with dropout whose block is computed again in the backward pass. FORGET=1: with other random numbers."""
import os

import torch
import torch.nn as nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix, self.drop = nn.Linear(width, width), nn.Dropout(0.2)

    def forward(self, x):
        return x + self.drop(torch.tanh(self.mix(x)))


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(4, width), Block(width), nn.Linear(width, 1)

    def forward(self, x):
        preserve = os.environ.get("FORGET") != "1"
        x = checkpoint(self.block, self.stem(x), use_reentrant=False, preserve_rng_state=preserve)
        return self.head(x)


torch.manual_seed(int(os.environ["SEED"]))
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(24):
    x = torch.randn(int(os.environ.get("ROWS", "8")), 4)
    optimizer.zero_grad()
    (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
