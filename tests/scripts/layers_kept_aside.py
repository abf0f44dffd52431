"""Trains a residual network for 12 iterations. LIST=1: its blocks are in a plain list."""
import os

import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def forward(self, x):
        # Made anew for every call, and not to be found in any model.
        return x + nn.ReLU()(self.mix(x))


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Linear(4, width)
        blocks = [Block(width) for _ in range(2)]
        self.blocks = blocks if os.environ.get("LIST") == "1" else nn.ModuleList(blocks)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


torch.manual_seed(int(os.environ["SEED"]))
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(12):
    x = torch.randn(int(os.environ.get("ROWS", "8")), 4)
    optimizer.zero_grad()
    (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
