"""What ranks do together, over gloo: MODE FOLDER. What each rank finds is in FOLDER/RANK.txt."""
import os
import signal
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

LINES = []


def say(*what):
    LINES.append(" ".join(str(one) for one in what))


def start(**more):
    dist.init_process_group("gloo", timeout=timedelta(seconds=60), **more)
    return dist.get_rank(), dist.get_world_size()


def begin_training():
    """The recording begins with an optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def kinds():
    rank, size = start()
    begin_training()
    other = 1 - rank
    values = torch.full((5,), float(rank + 1))
    dist.all_reduce(values, op=dist.ReduceOp.SUM)
    dist.all_reduce(values, op=dist.ReduceOp.MAX, async_op=True).wait()
    dist.broadcast(values, src=1)
    dist.reduce(values, dst=1, op=dist.ReduceOp.PRODUCT)
    say(values.tolist() if rank == 1 else "")
    gathered = [torch.zeros(3, dtype=torch.int64) for _ in range(size)]
    dist.all_gather(gathered, torch.full((3,), rank))
    say([one.tolist() for one in gathered])
    flat = torch.zeros(4 * size, dtype=torch.float64)
    dist.all_gather_into_tensor(flat, torch.full((4,), rank, dtype=torch.float64))
    part = torch.zeros(6)
    dist.reduce_scatter_tensor(part, torch.arange(6.0 * size))
    say(flat.tolist(), part.tolist())
    turned = torch.zeros(2 * size, dtype=torch.int32)
    dist.all_to_all_single(turned, torch.arange(2 * size, dtype=torch.int32) + 10 * rank)
    say(turned.tolist())
    dist.gather(values, [torch.zeros(5) for _ in range(size)] if rank == 0 else None, dst=0)
    dist.scatter(values, [torch.full((5,), 7.0) for _ in range(size)] if rank == 0 else None, src=0)
    dist.barrier()
    if rank == 0:
        dist.send(torch.ones(7), 1, tag=3)
    else:
        message = torch.zeros(7)
        dist.recv(message, 0, tag=3)
        say(message.tolist())
    received = torch.zeros(2)
    both = [dist.P2POp(dist.isend, torch.full((2,), float(rank)), other), dist.P2POp(dist.irecv, received, other)]
    for work in dist.batch_isend_irecv(both):
        work.wait()
    say(received.tolist())
    objects = [None] * size
    dist.all_gather_object(objects, {"rank": rank})
    say(objects)
    group = dist.new_group([0, 1], group_desc="both")
    dist.all_reduce(values, op=dist.ReduceOp.MIN, group=group)
    alone = dist.new_group([rank]) if rank == 0 else (dist.new_group([0]), None)[1]
    if alone is not None:
        dist.all_reduce(values, group=alone)
    dist.monitored_barrier()
    dist.destroy_process_group()


def training():
    rank, _ = start()
    model, _ = begin_training()
    model = DistributedDataParallel(torch.nn.Sequential(model, torch.nn.ReLU(), torch.nn.Linear(2, 1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    torch.manual_seed(rank)
    for _ in range(6):
        optimizer.zero_grad()
        loss = model(torch.randn(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        say(loss.item().hex(), mean.item().hex())
    for parameter in model.parameters():
        say([value.hex() for value in parameter.flatten().tolist()])
    say(torch.get_rng_state().sum().item())
    dist.destroy_process_group()


def futures():
    rank, _ = start()
    begin_training()
    for number in range(6):
        values = torch.full((20,), float(rank + 1))
        if rank == number % 2:
            # The other one has said what is to be done behind it when it is done.
            time.sleep(0.05)
        work = dist.all_reduce(values, async_op=True)
        work.get_future().then(lambda future: future.value()[0].mul_(number + 2)).wait()
        say(values.tolist())
    dist.destroy_process_group()


def again():
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    for number in range(2):
        # Each time another one: of the launcher's ranks may find what was there the first time.
        store = os.path.join(sys.argv[2], f"store-{number}")
        start(init_method=f"file://{store}", rank=rank, world_size=size)
        begin_training()
        dist.all_reduce(torch.ones(2))
        dist.all_reduce(torch.ones(3), group=dist.new_group([0, 1]))
        dist.barrier()
        dist.destroy_process_group()


def errors():
    rank, _ = start()
    begin_training()

    def fails(what):
        try:
            what()
            say("nothing was raised")
        except Exception as error:
            say(type(error).__name__, str(error).splitlines()[0].split("] ")[-1])

    dist.all_reduce(torch.ones(1))
    # Before gloo has begun: tensors of several shapes, a wrong rank, two tensors at once, too few lists.
    fails(lambda: dist.all_gather([torch.zeros(3), torch.zeros(4)], torch.zeros(3)))
    fails(lambda: dist.distributed_c10d._get_default_group().broadcast(torch.zeros(3), 9).wait())
    fails(lambda: dist.distributed_c10d._get_default_group().send([torch.zeros(3)] * 2, 1 - rank, 0))
    fails(lambda: dist.distributed_c10d._get_default_group().allgather([[torch.zeros(3)]], [torch.zeros(3)]))
    dist.all_reduce(torch.ones(2))
    # In gloo's thread, and in a message: the other rank takes no part.
    group = dist.new_group([0, 1], timeout=timedelta(milliseconds=300))
    if rank == 0:
        def late():
            dist.all_reduce(torch.ones(2), group=group)
        try:
            late()
            say("nothing was raised")
        except Exception as error:
            say(type(error).__name__)
    dist.barrier()
    group = dist.new_group([0, 1], timeout=timedelta(milliseconds=300))
    if rank == 1:
        try:
            dist.recv(torch.ones(2), 0, group=group)
            say("nothing was raised")
        except Exception as error:
            say(type(error).__name__)
    dist.barrier()
    say("goes on")
    write(rank)
    # What is left of the groups that have failed ends as it may.
    os._exit(0)


def watched():
    start()
    begin_training()
    dist.all_reduce(torch.ones(2))
    dist.destroy_process_group()


def killed():
    rank, _ = start()
    begin_training()
    dist.all_reduce(torch.ones(2))
    if rank == 0:
        dist.all_reduce(torch.ones(3), async_op=True)
        # The other one never comes.
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def spawned(rank, folder, port):
    start(init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    begin_training()
    dist.all_reduce(torch.ones(2))
    dist.barrier()
    dist.destroy_process_group()


def write(rank):
    with open(os.path.join(sys.argv[2], f"{rank}.txt"), "w") as file:
        file.write("\n".join(LINES) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "spawned":
        import socket
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        torch.multiprocessing.spawn(spawned, (sys.argv[2], port), nprocs=2)
    else:
        globals()[sys.argv[1]]()
        write(os.environ["RANK"])
