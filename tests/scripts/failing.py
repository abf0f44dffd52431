"""Trains a little and then fails, in the way that its argument names."""

import os
import signal
import sys

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 6:
            fail(sys.argv[1])
        return self.layer(x)


def fail(how):
    if how == "raise":
        raise ValueError("a forward pass that fails")
    if how == "exit":
        sys.exit(7)
    if how == "os._exit":
        os._exit(9)
    if how == "abort":
        os.abort()
    if how == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if how == "recursion":
        fail(how)
    if how == "shape":
        torch.ones(2, 3) @ torch.ones(2, 3)


torch.manual_seed(0)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(10):
    optimizer.zero_grad()
    loss = model(torch.randn(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
    print(repr(loss.item()), flush=True)
