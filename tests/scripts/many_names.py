"""Makes 20,000 classes, functions, models and optimizers and throws them away: whoever remembers each of them grows.
Prints what must not depend on being watched, and on stderr how large the process was half way and at the end."""

import gc
import os
import sys
import weakref

import torch
from torch import nn

COUNT = 20_000
SOURCE = """
class Model{n}(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)

def function_{n}(x):
    return x + {n}
"""


def megabytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def one(n):
    """A class and a function of their own, a model and an optimizer; gives back what tells whether they are gone."""
    namespace = {"nn": nn, "layer": layer, "__name__": "__main__"}
    exec(compile(SOURCE.format(n=n), __file__, "exec"), namespace)
    model = namespace[f"Model{n}"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    loss = model(x).sum() * namespace[f"function_{n}"](0.0) / COUNT
    loss.backward()
    optimizer.step()
    gone = [weakref.ref(namespace[f"Model{n}"]), weakref.ref(model), weakref.ref(optimizer)]
    code = weakref.ref(namespace[f"function_{n}"].__code__)
    return gone + [code]


torch.manual_seed(0)
layer = nn.Linear(4, 4)
x = torch.ones(1, 4)
# Cyclic garbage goes at known moments only, so that what is alive can be compared.
gc.disable()
alive = []
for n in range(COUNT):
    alive += one(n)
    if n % 1000 == 999:
        gc.collect()
        print(n, sum(reference() is not None for reference in alive), flush=True)
        alive.clear()
    if n in (COUNT // 2 - 1, COUNT - 1):
        print(f"size {megabytes()!r}", file=sys.stderr, flush=True)
print(repr(sum(p.double().sum().item() for p in layer.parameters())))
