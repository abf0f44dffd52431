"""Starts the ranks of a job on this machine, as torchrun does, and costs nothing itself: it does not import torch.

    python scripts/ranks.py N SCRIPT [ARGUMENT...]

Exits with the exit code of the first rank that fails, after the others were ended.
"""

import os
import socket
import subprocess
import sys
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    world_size, command = int(sys.argv[1]), [sys.executable, *sys.argv[2:]]
    job = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world_size)}
    job |= {"LOCAL_WORLD_SIZE": str(world_size), "GROUP_RANK": "0", "TORCHELASTIC_RESTART_COUNT": "0"}
    # As torchrun does: each rank would take all cores else.
    job |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    ranks = [
        subprocess.Popen(command, env=os.environ | job | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world_size)
    ]
    running = list(ranks)
    while running:
        failed = [rank.returncode for rank in ranks if rank.poll()]
        if failed:
            for rank in running:
                rank.kill()
            return failed[0] if failed[0] > 0 else 128 - failed[0]
        running = [rank for rank in ranks if rank.poll() is None]
        time.sleep(0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
