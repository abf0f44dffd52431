"""Trains, forks in the middle of it, and goes on; so does the child."""

import os

import torch
from hardship import network, say, train


def between(iteration):
    if iteration == 3:
        process = os.fork()
        if process == 0:
            train(network(1), 3, say)
            os._exit(3)
        say(f"child: {os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(network(), 5, say, between=between)
