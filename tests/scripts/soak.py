"""Trains a tiny model for 20,000 steps and prints on stderr, at some of them, how large the process is, in MiB, and
how much the run folder holds, in bytes."""

import os
import sys

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1000, gamma=0.9)
steps = int(sys.argv[1])


def sample():
    folder = os.environ.get("TRAINCHECK_RUN_DIR", "")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    disk = sum(os.path.getsize(os.path.join(folder, name)) for name in names if name.endswith(".tcs"))
    with open("/proc/self/statm") as statm:
        size = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    print(size, disk, file=sys.stderr, flush=True)


for step in range(1, steps + 1):
    optimizer.zero_grad()
    loss = model(torch.randn(8, 8)).pow(2).mean()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % (steps // 10) == 0:
        print(step, repr(loss.item()), flush=True)
        sample()
