"""Trains, and makes children by the system call alone: no handler of the C library runs in them. Each trains, and ends
in its own way; the parent goes on as if nothing had been. (None runs the C library's `exit` or forks: there
libraries wait for threads that such a child does not have.)"""

import ctypes
import os
import time

import torch
from hardship import network, say, train

CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
SIGCHLD = 17


def cloned(name, child):
    # `PyDLL` keeps the interpreter's lock: no other thread holds it in the child.
    process = ctypes.PyDLL(None, use_errno=True).syscall(CLONE, SIGCHLD, 0, 0, 0, 0)
    if process == 0:
        child()
        raise ValueError("the child goes on")
    say(f"{name}: {os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}")


def leaves_at_once():
    train(network(1), 30, say)
    # For as long as the parent takes to write down what it finds in memory that both have.
    time.sleep(1.5)
    os._exit(3)


def becomes_another_program():
    train(network(3), 3, say)
    os.execv("/bin/sh", ["sh", "-c", "exit 5"])


def between(iteration):
    if iteration == 3:
        cloned("left at once", leaves_at_once)
    if iteration == 6:
        cloned("became another program", becomes_another_program)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(network(), 8, say, between=between)
