"""Two ranks train under DistributedDataParallel; in iteration 8 one of them does not what the other waits for."""

import os
import signal
import sys
import time

import torch
import torch.distributed as dist
from torch import nn

mode = sys.argv[1]


def average(values):
    dist.all_reduce(values)
    return values / dist.get_world_size()


def train_step(model, optimizer):
    loss = model(torch.randn(8, 16)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def depart(rank):
    if mode == "stopped" and rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif mode == "killed" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "left" and rank == 1:
        time.sleep(1)
        sys.exit(0)
    elif mode == "mismatch":
        average(torch.ones(6 if rank == 0 else 5))
    elif mode == "received" and rank == 1:
        dist.recv(torch.ones(3), 0)


def main():
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for iteration in range(1, 12):
        if iteration == 8:
            depart(rank)
        train_step(model, optimizer)
    dist.barrier()


main()
