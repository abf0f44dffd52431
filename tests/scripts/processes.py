"""Trains, and starts processes in every way there is: none of them may notice what its parent carries."""

import gc
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import torch
from hardship import network, say, train
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((4,), float(index))


def forked(name, child):
    process = os.fork()
    if process == 0:
        child()
        raise ValueError("the child goes on")
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    say(f"{name}: {status}")


def trains(seed):
    lines = []
    train(network(seed), 3, lines.append, seed)
    return lines


def leaves_at_once():
    train(network(1), 3, say)
    os._exit(3)


def leaves_by_exception():
    say(str(trains(2)))
    sys.exit(4)


def forks_again():
    forked("grandchild", leaves_at_once)
    os._exit(5)


def batches(workers, method):
    loader = DataLoader(Numbers(), batch_size=4, num_workers=workers, multiprocessing_context=method)
    say(f"{method}: {[batch.sum().item() for batch in loader]}")
    # Semaphores in cycles go when these are looked for, which need not happen before this becomes another program.
    del loader
    gc.collect()


def processes(iteration):
    if iteration == 3:
        forked("left at once", leaves_at_once)
        forked("left by exception", leaves_by_exception)
        forked("forked again", forks_again)
    if iteration == 4:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            say(str(pool.map(trains, [1, 2])))
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
            say(str(list(executor.map(trains, [3, 4]))))
    if iteration == 5:
        subprocess.run(["sh", "-c", "echo shell; ls / >/dev/null && true | cat; exec /bin/echo echo"], check=True)
        subprocess.run(["/bin/true"], check=True, preexec_fn=os.setsid, close_fds=True)
        os.spawnv(os.P_WAIT, "/bin/echo", ["echo", "spawned"])
        os.system("echo system")
    if iteration == 6:
        batches(2, "fork")
        for method in sys.argv[1:]:
            batches(1, method)


if __name__ == "__main__":
    train(network(), 8, say, between=processes)
    script = os.path.join(os.path.dirname(__file__), "hardship.py")
    os.execv(sys.executable, [sys.executable, script, "5"])
