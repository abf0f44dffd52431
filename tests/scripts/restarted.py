"""Two ranks train under DistributedDataParallel: FOLDER. The first time one of them fails: torchrun starts both again."""

import os
import sys

import torch
import torch.distributed as dist
from torch import nn

# Each attempt meets in a file of its own: in torchrun's store gloo may find where the ranks of the attempt before were.
attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]
meet = f"file://{sys.argv[1]}/meet-{attempt}"
dist.init_process_group("gloo", init_method=meet, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for iteration in range(1, 7):
    if iteration == 4 and attempt == "0" and dist.get_rank() == 1:
        raise SystemExit(3)
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
dist.barrier()
