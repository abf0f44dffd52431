"""Two ranks train; one of them leaves the loop, and while the other waits both write what PyTorch's flight recorder has."""

import os
import signal
import sys
import threading
import time

import torch
import torch.distributed as dist
from torch import nn
from torch._C import _distributed_c10d as c10d


def write_and_end(rank, folder):
    time.sleep(3)
    written = c10d._dump_fr_trace() if rank == 0 else c10d._dump_fr_trace_json()
    with open(os.path.join(folder, "rank_0" if rank == 0 else "rank_1.json"), "wb") as file:
        file.write(written if isinstance(written, bytes) else written.encode())
    # Until the other has written, too.
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    # Before anything is recorded.
    dist.barrier(dist.new_group([0, 1]))
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for iteration in range(4):
        if iteration == 3:
            threading.Thread(target=write_and_end, args=(rank, sys.argv[1])).start()
            if rank == 1:
                return
        optimizer.zero_grad()
        model(torch.randn(8, 16)).square().mean().backward()
        optimizer.step()


main()
