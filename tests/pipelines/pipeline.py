"""What the pipelines beside this file share: exact output, and the measurement of a loop."""

import hashlib
import json
import os
import random
import time

import numpy
import torch


def report(name, value):
    """Prints a number so that two runs can be compared bit by bit."""
    print(f"{name} {float(value)!r}", flush=True)


def report_weights(model):
    """Prints a digest of every parameter and buffer of the model."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    print(f"weights {digest.hexdigest()}", flush=True)


def report_gradients(model):
    """Prints a digest of the gradient of every parameter; one without is told from one that is all zero."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        if parameter.grad is not None:
            digest.update(parameter.grad.cpu().contiguous().numpy().tobytes())
    print(f"gradients {digest.hexdigest()}", flush=True)


def report_rng():
    """Prints digests of where the random streams stand: PyTorch's, Python's and numpy's."""
    streams = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "python": repr(random.getstate()).encode(),
        "numpy": repr([part.tobytes() if hasattr(part, "tobytes") else part for part in numpy.random.get_state()]).encode(),
    }
    for name, state in streams.items():
        print(f"rng of {name} {hashlib.sha256(state).hexdigest()}", flush=True)


class Meter:
    """Wall and CPU time (all threads of the process) of a loop, without its first `warm_up` iterations.

    Writes one JSON object to the file that TRAINCHECK_BENCH_OUT names, and does nothing without that variable,
    so that a pipeline does the same work measured or not.
    """

    def __init__(self, warm_up=20):
        # Of several ranks the first speaks for all: they go in step.
        speaks = os.environ.get("RANK", "0") == "0"
        self.path = os.environ.get("TRAINCHECK_BENCH_OUT") if speaks else None
        self.warm_up = warm_up
        self.iterations = 0
        self.start = None

    def tick(self):
        """Call at the end of every iteration."""
        self.iterations += 1
        if self.path and self.iterations == self.warm_up:
            self.start = (time.perf_counter(), time.process_time())

    def finish(self):
        """Call once, after the loop."""
        if not self.path or self.start is None:
            return
        wall = time.perf_counter() - self.start[0]
        cpu = time.process_time() - self.start[1]
        with open(self.path, "w") as out:
            json.dump({"iterations": self.iterations - self.warm_up, "wall_s": wall, "cpu_s": cpu}, out)
