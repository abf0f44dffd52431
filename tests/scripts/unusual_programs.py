"""What programs do besides training: deep recursion, exceptions, threads, coroutines, tracers, profilers, forks."""

import asyncio
import cProfile
import os
import subprocess
import sys
import threading

import torch
from torch import nn
from torch.profiler import profile

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
optimizer = torch.optim.AdamW(model.parameters())


def train():
    for _ in range(10):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).pow(2).mean().backward()
        optimizer.step()


def show(name):
    train()
    print(name, repr(sum(tensor.double().sum().item() for tensor in model.state_dict().values())), flush=True)


def down(depth):
    return 0 if depth == 0 else 1 + down(depth - 1)


def raises(depth):
    if depth == 0:
        raise ValueError("at the bottom")
    return raises(depth - 1)


def attempt(function, *arguments):
    try:
        print(function.__name__, function(*arguments), flush=True)
    except (RecursionError, ValueError) as error:
        print(function.__name__, type(error).__name__, flush=True)


async def coroutine():
    await asyncio.sleep(0)
    return model(torch.ones(1, 4)).sum()


show("plain")
attempt(down, 900)
attempt(down, 5000)
attempt(raises, 500)
# More calls than fit on the stack if each took its share of it.
sys.setrecursionlimit(60000)
attempt(down, 50000)
thread = threading.Thread(target=attempt, args=(down, 20000))
thread.start()
thread.join()
asyncio.run(coroutine()).backward()
show("coroutine")

profiler = cProfile.Profile()
profiler.runcall(train)
show("cProfile")
sys.settrace(lambda *_: None)
train()
sys.settrace(None)
show("settrace")
with profile():
    train()
show("torch.profiler")

child = os.fork()
if child == 0:
    show("child")
    os._exit(0)
os.waitpid(child, 0)
subprocess.run([sys.executable, "-c", "print('another program', flush=True)"], check=True)
show("parent")
