"""Data-parallel training by hand, in which each kind of mistake of several ranks can be made (scripts/mutations.py)."""

import argparse
import hashlib

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(12, 24)
        self.norm = nn.BatchNorm1d(24)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        x = F.dropout(F.relu(self.norm(self.body(x))), 0.1, self.training)
        return self.head(x)


def say(line):
    """In one piece, for all ranks write into one file."""
    print(f"{line}\n", end="", flush=True)


def begin_alike(model):
    for tensor in [*model.parameters(), *model.buffers()]:
        dist.broadcast(tensor.data, src=0)


def average_gradients(model, world_size):
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad, op=dist.ReduceOp.SUM)
        parameter.grad.div_(world_size)


def average_buffers(model, world_size, group):
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer, group=group)
            buffer.div_(world_size)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()
    statistics = dist.new_group()
    torch.manual_seed(args.seed + 1000 * rank)
    model = Net()
    begin_alike(model)
    generator = torch.Generator().manual_seed(args.seed)
    x = torch.randn(192, 12, generator=generator)
    data = TensorDataset(x, (x @ torch.randn(12, 3, generator=generator)).argmax(1))
    sampler = DistributedSampler(data, num_replicas=world_size, rank=rank, seed=args.seed)
    loader = DataLoader(data, batch_size=16, sampler=sampler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            average_gradients(model, world_size)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            average_buffers(model, world_size, statistics)
            say(f"loss of {rank} {loss.item()!r}")
        scheduler.step()
        total = loss.detach().clone()
        dist.reduce(total, dst=0)
        if rank == 0:
            say(f"mean {total.item() / world_size!r}")
    weights = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    say(f"weights {hashlib.sha256(weights).hexdigest()} of {rank}")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
