"""A small model, trained by hand while its process goes through what the arguments name. Prints every loss, so that two
runs can be compared bit by bit. An argument NAME:N happens before iteration N, one without a number before the first.
"""

import ctypes
import faulthandler
import os
import resource
import shutil
import signal
import sys
import threading
import time

import torch
from torch import nn

OPENED = []
PAUSES = []
LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)


def train(model, iterations, show, seed=0, between=lambda iteration: None):
    generator = torch.Generator().manual_seed(seed)
    for iteration in range(1, iterations + 1):
        between(iteration)
        loss = model(torch.randn(8, 4, generator=generator)).square().mean()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
        show(f"iteration {iteration} done: {loss.item()!r}")


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def say(line):
    print(line, flush=True)


def descriptors():
    """Closes what it has not opened, and opens files under all numbers that this may have set free."""
    os.closerange(3, 4096)
    folder = os.environ["OPENED"]
    first = os.open(os.path.join(folder, "first"), os.O_CREAT | os.O_RDWR)
    os.write(first, b"mine")
    assert first == 3, first
    for number in range(4, 1024):
        os.dup2(first, number)


def few_descriptors():
    """Opens as many files as the process may have."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, LIMITS[1]))
    while True:
        try:
            OPENED.append(open(os.devnull))
        except OSError:
            break


def few_descriptors_end():
    OPENED.clear()
    resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)


def pauses():
    """Leaves the writer time: nothing is to be lost because a machine is busy."""
    PAUSES.append(True)


def little_memory():
    """Leaves the process as much address space as it has, and some more."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    spare = int(os.environ["SPARE_MIB"]) << 20
    resource.setrlimit(resource.RLIMIT_AS, (size + spare, size + spare))


def no_memory():
    """Takes all that the process may have, holds it for longer than the agent lets records wait, and gives it back."""
    little_memory()
    taken = []
    for size in (1 << 20, 1 << 14, 1 << 9, 1 << 6):
        while True:
            try:
                taken.append(bytearray(size))
            except MemoryError:
                break
    time.sleep(1.5)
    taken.clear()


def removed_folder():
    folder = os.environ.get("TRAINCHECK_RUN_DIR")
    if folder:
        shutil.rmtree(folder)


def clock_steps():
    """Says whether the clock on the wall was set back."""
    times = [time.time() for _ in range(4)]
    say(f"set back: {times != sorted(times)}")


def threads():
    """Two models learn at once, each in a thread of its own."""
    models = {seed: network(seed) for seed in (1, 2)}
    lines = {seed: [] for seed in models}

    def run(seed):
        train(models[seed], 30, lines[seed].append, seed)

    running = [threading.Thread(target=run, args=(seed,)) for seed in models]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for seed in models:
        say(f"thread {seed}: {lines[seed]}")


class Idle(nn.Module):
    """Python code only: a thread that is ended inside of PyTorch takes the process with it."""

    def forward(self):
        time.sleep(0.0001)


def daemon():
    """A thread that calls a module until the process ends around it."""

    def run():
        idle = Idle()
        while True:
            idle()

    threading.Thread(target=run, daemon=True).start()


def handler():
    """A signal is handled while a model runs, by a function that runs one itself."""
    other = network(4)

    def handle(number, _):
        say(f"signal {number}: {other(torch.ones(1, 4)).sum().item()!r}")

    signal.signal(signal.SIGUSR1, handle)
    signalling = network(5)
    signalling[1].register_forward_hook(lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    say(repr(signalling(torch.ones(1, 4)).sum().item()))


def errors():
    """Exceptions of all kinds through modules, ops and backward, all caught."""

    def attempt(name, action):
        try:
            action()
        except BaseException as error:
            say(f"{name}: {type(error).__name__} {str(error).partition(chr(10))[0]}")

    model = network(6)

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGINT)

    def failing_gradient(_):
        raise ValueError("in backward")

    def backward():
        output = model(torch.ones(1, 4))
        output.register_hook(failing_gradient)
        output.sum().backward()

    attempt("shape", lambda: model(torch.ones(1, 5)))
    attempt("type", lambda: model("no tensor"))
    attempt("arguments", lambda: model())
    attempt("backward", backward)
    attempt("twice", lambda: [total.backward() for total in [model(torch.ones(1, 4)).sum()] for _ in range(2)])
    handle = model[1].register_forward_hook(interrupted)
    attempt("interrupt", lambda: model(torch.ones(1, 4)))
    handle.remove()
    attempt("system exit", lambda: model.apply(lambda _: sys.exit(3)))


def while_a_model_runs(action):
    model = network(7)
    model[1].register_forward_hook(lambda *_: action())
    model(torch.ones(1, 4))


def fault():
    """Reads where nothing is, with Python's own handler for that in place."""
    faulthandler.enable()
    while_a_model_runs(lambda: ctypes.string_at(0))


def terminated():
    """Is asked to end, and does so in good order, as schedulers of clusters expect."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while_a_model_runs(lambda: os.kill(os.getpid(), signal.SIGTERM))


def killed_by_user_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    while_a_model_runs(lambda: os.kill(os.getpid(), signal.SIGUSR2))
    say(f"pending: {sorted(signal.sigpending())}, waited for: {signal.sigwait([signal.SIGUSR2])}")
    while_a_model_runs(lambda: os.kill(os.getpid(), signal.SIGUSR1))


def main():
    happens = {}
    iterations = int(sys.argv[1])
    for argument in sys.argv[2:]:
        name, _, iteration = argument.partition(":")
        happens.setdefault(int(iteration or 1), []).append(globals()[name])

    def between(iteration):
        for happening in happens.get(iteration, []):
            happening()
        if PAUSES:
            time.sleep(0.0005)

    model = network()
    train(model, iterations, say, between=between)
    say(repr(sum(parameter.double().sum().item() for parameter in model.parameters())))


if __name__ == "__main__":
    main()
