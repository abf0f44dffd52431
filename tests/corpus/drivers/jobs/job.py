"""What the jobs beside this file share: their options, how ranks begin and end, a small network, and classes to tell
apart, made up on the spot."""

import argparse
import hashlib

import torch
import torch.distributed as dist
from torch import nn

FEATURES, CLASSES = 20, 16


def options(**defaults):
    """The options of a job: those of all jobs, and one for each default. That of `False` is a switch."""
    parser = argparse.ArgumentParser()
    for name, default in ({"seed": 1, "steps": 16, "batch_size": 16, "lr": 0.05} | defaults).items():
        option = "--" + name.replace("_", "-")
        if default is False:
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(default), default=default)
    return parser.parse_args()


def begin(args):
    """Joins the other ranks; which one this is, and of how many. All have the same seed."""
    dist.init_process_group("gloo")
    torch.manual_seed(args.seed)
    return dist.get_rank(), dist.get_world_size()


def end():
    dist.barrier()
    dist.destroy_process_group()


def say(text):
    # The ranks share the output: a line of one must not come apart.
    print(text + "\n", end="", flush=True)


def say_weights(model, rank):
    """What came of training, to compare: a hash of the weights."""
    values = [value for value in model.state_dict().values() if type(value) in (torch.Tensor, nn.Parameter)]
    text = b"".join(value.detach().float().contiguous().numpy().tobytes() for value in values)
    say(f"weights {rank} {hashlib.sha256(text).hexdigest()[:16]}")


def network(width=32):
    return nn.Sequential(
        nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
    )


def send_to_all(model):
    """Gives all ranks the weights of the first."""
    for value in model.state_dict().values():
        dist.broadcast(value, 0)


def blobs(seed, rank, ranks, count=512, noise=0.5):
    """A rank's share of rows of numbers and their classes: one blob each, the same ones for any seed."""
    centers = torch.randn(CLASSES, FEATURES, generator=torch.Generator().manual_seed(1234)) * 2
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % CLASSES
    x = centers[y] + noise * torch.randn(count, FEATURES, generator=generator)
    order = torch.randperm(count, generator=generator)
    return x[order][rank::ranks], y[order][rank::ranks]


def batches(x, y, size, seed):
    """Batches without end, in a new order each time."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x) - size + 1, size):
            chosen = order[start : start + size]
            yield x[chosen], y[chosen]
