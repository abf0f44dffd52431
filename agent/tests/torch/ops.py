"""Runs ops under the agent's callbacks, switching them on and off where it hurts."""

import ctypes
import sys
import threading
import time

import torch
from torch.autograd.profiler import record_function

agent = ctypes.PyDLL(sys.argv[1])
agent.probe_start_ops.restype = agent.probe_prove_ops.restype = ctypes.c_char_p
Callback = ctypes.PYFUNCTYPE(None)



def all_ops(on):
    agent.probe_all_ops(ctypes.c_bool(on))


def known_op():
    torch.arange(4) + 1


def known_scope(name="traincheck: a known scope"):
    with record_function(name):
        pass


if len(sys.argv) > 2:
    # Proofs that do not see what they should.
    for known, reason in [
        (lambda: None, b"known ops were not seen by their names"),
        (known_scope, b"known ops were not seen by their names"),
        (known_op, b"a known user scope was not seen by its name"),
        (lambda: (known_op(), known_scope("another")), b"a known user scope was not seen by its name"),
        (lambda: (known_op(), known_scope("aten::add")), b"ops and user scopes are not told apart"),
        (lambda: (known_op(), known_scope()), None),
    ]:
        why = agent.probe_prove_ops(Callback(known))
        assert why == reason, (why, reason)
    print("refused")
    sys.exit()

with record_function("before the start"):
    pass
why = agent.probe_start_ops(Callback(lambda: (known_op(), known_scope())))
assert why is None, why

x = torch.ones(3, requires_grad=True)
with record_function("off"):
    x + 1

all_ops(True)
with record_function("on"):
    with record_function("inner"):
        x + 1
    torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4))
all_ops(False)
x + 1

# Names of scopes are temporaries: the same address holds one text after the other.
for number in range(1000):
    with record_function(f"scope {number}"):
        pass


# Switched while ops are open: inside a backward, which runs inside the engine's functions.
class Switch(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor, on):
        context.on = on
        return tensor * 2

    @staticmethod
    def backward(context, gradient):
        all_ops(context.on)
        return gradient * 2, None


all_ops(True)
y = Switch.apply(Switch.apply(Switch.apply(x, False), True), False)
(y * 3).sum().backward()
all_ops(False)

# Switched while other threads run ops without the GIL.
stop = threading.Event()


def work():
    while not stop.is_set():
        torch.ones(50, 50).relu().sum()
        time.sleep(0.001)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(500):
    all_ops(number % 2 == 0)
    time.sleep(0.001)
all_ops(False)
stop.set()
for thread in threads:
    thread.join()

# A scope that another thread ends.
passed_on = record_function("passed on")
passed_on.__enter__()
ending = threading.Thread(target=passed_on.__exit__, args=(None, None, None))
ending.start()
ending.join()
with record_function("after it"):
    pass

# An op that fails.
all_ops(True)
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except RuntimeError:
    pass
all_ops(False)

# Threads that come and go.
for _ in range(200):
    thread = threading.Thread(target=lambda: record_function("short-lived").__enter__().__exit__(None, None, None))
    thread.start()
    thread.join()

agent.probe_seal(b"the end of the test")
with record_function("after the end"):
    x + 1
print("ran")
