"""Garbage is looked for at every turn, and what is found trains models of its own as it goes, and lets other threads in.
Prints losses, and how many parameters have got a `__dict__` that nobody asked for."""

import ctypes
import gc
import threading
import time

import torch
from torch import nn


def network(fill):
    # Loaded in one piece, so no random numbers are used.
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.linspace(-fill, fill + number, parameter.numel()).reshape(parameter.shape))
    return model


def step(model, optimizer, data):
    optimizer.zero_grad()
    loss = model(data).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


class Garbage:
    def __init__(self, number):
        self.itself = self
        self.number = number

    def __del__(self):
        # It may come in the middle of anything.
        with torch.inference_mode(False), torch.enable_grad():
            model = network(self.number)
            step(model, torch.optim.SGD(model.parameters(), lr=0.1), torch.ones(2, 4))
        time.sleep(0)


def dicts(model):
    pointer = ctypes.pythonapi._PyObject_GetDictPtr
    pointer.restype, pointer.argtypes = ctypes.POINTER(ctypes.c_void_p), [ctypes.py_object]
    return sum(pointer(parameter)[0] is not None for parameter in model.parameters())


def train(seed, lines):
    generator = torch.Generator().manual_seed(seed)
    for round in range(3):
        # New objects, and new types, are what the agent makes objects of its own for.
        model = type(f"Net{seed}{round}", (nn.Sequential,), {})(network(seed))
        optimizer = type(f"Own{seed}{round}", (torch.optim.AdamW,), {})(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        for _ in range(4):
            Garbage(seed)
            lines.append(step(model, optimizer, torch.randn(8, 4, generator=generator)))
            scheduler.step()
        lines.append(dicts(model))


def main():
    lines = {seed: [] for seed in (1, 2)}
    threads = [threading.Thread(target=train, args=(seed, lines[seed])) for seed in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(lines, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    gc.set_threshold(1)
    main()
