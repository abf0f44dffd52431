"""A parameter lies in a file, turned; for some iterations the process has less address space left than the parameter
takes."""

import os
import resource
import sys

import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
LIMITS = resource.getrlimit(resource.RLIMIT_AS)


class Net(nn.Module):
    def __init__(self, mapped):
        super().__init__()
        self.used = nn.Linear(4, 1)
        self.turned = nn.Parameter(mapped.t())

    def forward(self, value):
        return self.used(value)


def leave(spare):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + spare, LIMITS[1]))


model = Net(torch.from_file(os.path.join(sys.argv[1], "mapped"), shared=True, size=12 << 20).reshape(-1, 4096))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for iteration in range(9):
    if iteration == 3:
        leave(24 << 20)
    if iteration == 6:
        resource.setrlimit(resource.RLIMIT_AS, LIMITS)
    optimizer.zero_grad()
    loss = model(torch.randn(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
    print(f"iteration {iteration}: {loss.item()!r}", flush=True)
