"""Trains until it is interrupted, and then 40 iterations more, in which it would see another interrupt. With the argument
`unhandled` it leaves the interrupt to Python. What it has to say goes to stderr.
"""

import signal
import sys

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
interrupts = 0


def count(number, frame):
    global interrupts
    interrupts += 1


if sys.argv[1:] != ["unhandled"]:
    signal.signal(signal.SIGINT, count)
remaining = 40
iteration = 0
while remaining > 0:
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
    iteration += 1
    if iteration == 40:
        print("ready", file=sys.stderr, flush=True)
    if interrupts > 0:
        remaining -= 1
print(f"interrupted {interrupts} times", file=sys.stderr, flush=True)
sys.exit(7)
