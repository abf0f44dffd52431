"""Initialises a network by a function that is applied to all its modules, and trains it for 6 iterations. ALL=1: every ancestor of
a projection initialises it once more. NONE=1: projections are left out."""
import os

import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mix, self.proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.proj(torch.tanh(self.mix(x)))


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Linear(4, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(int(os.environ.get("DEPTH", "2"))))
        self.head = nn.Linear(width, 1)
        self.apply(self.initialise)

    @torch.no_grad()
    def initialise(self, module):
        for name, parameter in module.named_parameters():
            if "proj.weight" in name:
                own = name == "proj.weight" and os.environ.get("NONE") != "1"
                if own or os.environ.get("ALL") == "1":
                    parameter.normal_(std=0.01)
            elif name in ("mix.weight", "weight") and not isinstance(module, nn.Linear):
                parameter.normal_(std=0.02)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


torch.manual_seed(int(os.environ["SEED"]))
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(6):
    x = torch.randn(int(os.environ.get("ROWS", "8")), 4)
    optimizer.zero_grad()
    (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
