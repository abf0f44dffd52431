"""Makes the dumps beside it, with PyTorch as it is: two ranks on gloo that end up apart, and what its flight recorder has of it.

    python make.py FOLDER

with PyTorch 2.9.1; those that end with `-2.15` were made by 2.15.0 (`python make.py FOLDER -2.15`). The tests need some of them.
"""

import os
import socket
import sys
import time

import torch
import torch.distributed as dist
from torch._C import _distributed_c10d as c10d


def last_of(case: str, rank: int) -> None:
    """The last collective of a rank, which it does not wait for."""
    if case == "missing" and rank == 1:
        return
    if case == "another" and rank == 1:
        dist.broadcast(torch.ones(4), 1, async_op=True)
    elif case == "alike":
        dist.all_reduce(torch.ones(4))
    else:
        elements = 6 if case == "size" and rank == 1 else 4
        type_ = torch.float64 if case == "type" and rank == 1 else torch.float32
        dist.all_reduce(torch.ones(elements, dtype=type_), async_op=True)


def work(case: str, rank: int, port: int, folder: str) -> None:
    dist.init_process_group("gloo", f"tcp://localhost:{port}", rank=rank, world_size=2)
    dist.all_reduce(torch.ones(2, 3))
    dist.all_gather_into_tensor(torch.zeros(8, dtype=torch.int64), torch.ones(4, dtype=torch.int64))
    dist.all_reduce(torch.ones(5), group=dist.new_group([0, 1]))
    # gloo ends the process that receives more than it waits for: its dump has to be there before.
    is_ended = case in ("size", "type")
    time.sleep(5 * rank if is_ended else 0)
    last_of(case, rank)
    time.sleep(0 if is_ended else 1)
    for form, ending, dump in (("json", ".json", c10d._dump_fr_trace_json()), ("pickle", "", c10d._dump_fr_trace())):
        beside = os.path.join(folder, f"{case}-{form}{sys.argv[2] if len(sys.argv) > 2 else ''}")
        os.makedirs(beside, exist_ok=True)
        with open(os.path.join(beside, f"rank_{rank}{ending}"), "wb") as file:
            file.write(dump if isinstance(dump, bytes) else dump.encode())
    time.sleep(6)
    # What is pending would be waited for.
    os._exit(0)


if __name__ == "__main__":
    os.environ["TORCH_FR_BUFFER_SIZE"] = "2000"
    for case in ("missing", "another", "size", "type", "alike"):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        context = torch.multiprocessing.get_context("spawn")
        ranks = [context.Process(target=work, args=(case, rank, port, sys.argv[1])) for rank in (0, 1)]
        [rank.start() for rank in ranks]
        [rank.join() for rank in ranks]
