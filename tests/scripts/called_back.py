"""Prints whether libtorch calls anybody back: in the job, and in workers that load data, once an op and a user scope have
run there. `workers`: some are forked before the first iteration, some in one in which all ops are recorded. `stops`: an
optimizer is made, and the recording should begin."""

import ctypes
import os
import sys

import torch
from torch.profiler import record_function
from torch.utils.data import DataLoader, Dataset

LIBRARY = ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so"))
HAS_CALLBACKS = LIBRARY._ZN2at18hasGlobalCallbacksEv
HAS_CALLBACKS.restype = ctypes.c_bool


def is_called_back():
    with record_function("a scope"):
        torch.ones(2).add_(1)
    return HAS_CALLBACKS()


class Answers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        return is_called_back()


def print_answers(where):
    workers = DataLoader(Answers(), batch_size=2, num_workers=2, multiprocessing_context="fork")
    print(f"in workers forked {where}: {[batch.tolist() for batch in workers]}", flush=True)


def main():
    print(f"in the job: {is_called_back()}", flush=True)
    model = torch.nn.Linear(2, 1)
    if sys.argv[1] == "workers":
        print_answers("before the first iteration")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = model(torch.ones(1, 2)).sum()
    if sys.argv[1] == "workers":
        print_answers("in it")
    loss.backward()
    optimizer.step()
    print(f"in the job: {is_called_back()}", flush=True)


if __name__ == "__main__":
    main()
