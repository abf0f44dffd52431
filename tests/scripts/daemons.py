"""Ends while daemon threads are in functions that are recorded, some of them in finalizers, which sleep. CPython ends
those threads where they next ask for its lock: up to 3.13 by an unwinding through whatever is on their stacks."""

import gc
import sys
import threading
import time

import torch

# All threads are at it.
BEGUN = threading.Barrier(5)


class Sleeps(torch.nn.Module):
    def forward(self):
        time.sleep(0.0001)


class Garbage:
    def __init__(self):
        self.itself = self

    def __del__(self):
        time.sleep(0.001)


def generator(module):
    while True:
        module()
        yield


def run(number):
    round = 0
    resumed = generator(Sleeps())
    while True:
        round += 1
        Garbage()
        # New types, for which the agent makes objects of its own.
        type(f"Own{number}{round}", (Sleeps,), {})()()
        next(resumed)
        if round == 1:
            BEGUN.wait()


if __name__ == "__main__":
    # Something to record before: without it nothing is.
    torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    gc.set_threshold(1)
    for number in range(4):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    BEGUN.wait()
    time.sleep(float(sys.argv[1]))
    print("ends", flush=True)
