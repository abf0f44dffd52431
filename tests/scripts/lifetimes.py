"""Prints when objects end, how many references they have and how large they are: none of it may depend on being
watched."""

import copy
import gc
import io
import pickle
import sys
import threading
import tracemalloc
import weakref

import torch
from torch import nn

gc.disable()


class Net(nn.Module):
    def __init__(self, name="net"):
        super().__init__()
        self.name = name
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x)

    def __del__(self):
        print("end of", self.name, flush=True)


class Owner:
    def __init__(self, name):
        self.name = name
        self.myself = self
        self.model = Net("owned by " + name)

    def __del__(self):
        print("end of owner", self.name, flush=True)


def step(model, optimizer):
    optimizer.zero_grad()
    loss = model(torch.ones(2, 4)).sum()
    loss.backward()
    optimizer.step()
    return loss


class OnPurpose(ValueError):
    pass


def ends_with(what, *watched):
    print(what, [reference() is None for reference in watched], flush=True)


def one_after_the_other():
    model = Net("first")
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    loss = step(model, optimizer)
    scheduler.step()
    parameter = model.layer.weight
    # Asked for here and not in a function of its own: a frame evaluator, anybody's, keeps the arguments of a call
    # on the stack of the caller, too.
    count = sys.getrefcount
    print(count(model), count(model.layer), count(parameter), count(parameter.grad), count(loss), flush=True)
    print(count(optimizer), count(scheduler), count(optimizer.param_groups[0]), count(optimizer.param_groups[0]["lr"]))
    print(count(optimizer.state[parameter]["exp_avg"]), count(Net), count(Net.forward.__code__), flush=True)
    watched = [weakref.ref(x) for x in (model, model.layer, parameter, loss, optimizer, scheduler)]
    print(*(sys.getsizeof(x) for x in (model, model.__dict__, optimizer, optimizer.__dict__, parameter, Net)), flush=True)
    storage = weakref.ref(parameter.untyped_storage())
    del loss
    ends_with("loss", *watched)
    del scheduler
    gc.collect()
    ends_with("scheduler", *watched)
    del model, parameter
    ends_with("model", *watched)
    del optimizer
    gc.collect()
    ends_with("optimizer", *watched, storage)


def temporaries():
    Net("temporary").train()
    Net("called")(torch.ones(2, 4)).sum().backward()
    torch.optim.SGD(Net("only its parameters").parameters(), lr=0.1).step()
    gc.collect()


def cycles():
    owners = [Owner(str(n)) for n in range(3)]
    for owner in owners:
        step(owner.model, torch.optim.SGD(owner.model.parameters(), lr=0.1))
    del owner, owners
    print("nothing ended yet", flush=True)
    print("collected", gc.collect() > 0, flush=True)


def exceptions():
    class Failing(Net):
        def forward(self, x):
            kept = weakref.ref(x)
            watched.append(kept)
            raise OnPurpose

    watched = []
    model = Failing("failing")
    attempts = [
        lambda: model(torch.ones(2, 4)),
        lambda: torch.optim.SGD([], lr=0.1),
        lambda: model.load_state_dict({"x": 1}),
    ]
    for attempt in attempts:
        try:
            attempt()
        except (ValueError, RuntimeError) as error:
            if isinstance(error, OnPurpose):
                watched.append(weakref.ref(error))
            frames = []
            trace = error.__traceback__
            while trace:
                frames.append(trace.tb_frame.f_code.co_name)
                trace = trace.tb_next
            del trace
            print(type(error).__name__, frames[-3:], sys.getrefcount(error), flush=True)
        ends_with("exception", *watched)


def classes():
    def make():
        return type("Made", (Net,), {"extra": lambda self, x: x})

    Made = make()
    model = Made("of a made class")
    step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    watched = [weakref.ref(Made), weakref.ref(Made.extra.__code__)]
    print(sys.getrefcount(Made), flush=True)
    del model, Made
    gc.collect()
    ends_with("class", *watched)


def copies():
    model = Net("original")
    optimizer = torch.optim.AdamW(model.parameters())
    step(model, optimizer)
    twin = copy.deepcopy(model)
    twin.name = "twin"
    print(len(pickle.dumps(model)), len(pickle.dumps(optimizer)), flush=True)
    again = pickle.loads(pickle.dumps((model, optimizer)))
    again[0].name = "unpickled"
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    print(buffer.tell(), flush=True)
    losses = [step(m, torch.optim.AdamW(m.parameters())).item() for m in (model, twin)] + [step(*again).item()]
    print(losses, flush=True)
    buffer.seek(0)
    loaded = torch.load(buffer)
    twin.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    # Tensors with weak references cannot be swapped.
    torch.utils.swap_tensors(model.layer.weight, twin.layer.weight)
    print(step(model, optimizer).item(), flush=True)


def in_threads():
    def work(n):
        model = Net(f"of thread {n}")
        step(model, torch.optim.SGD(model.parameters(), lr=0.1))

    for n in range(3):
        thread = threading.Thread(target=work, args=(n,))
        thread.start()
        thread.join()
    gc.collect()


def traced():
    tracemalloc.start(5)
    model = Net("traced")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        step(model, optimizer)
    before = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__)])
    for _ in range(20):
        step(model, optimizer)
    print("traced", len(before.traces) > 0, tracemalloc.get_traced_memory()[0] > 0, flush=True)
    tracemalloc.stop()


torch.manual_seed(0)
for part in (one_after_the_other, temporaries, cycles, exceptions, classes, copies, in_threads, traced):
    print("--", part.__name__, flush=True)
    part()
    gc.collect()
print("--", "the end", flush=True)
