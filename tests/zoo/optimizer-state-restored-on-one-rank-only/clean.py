"""Trains in two parts on several ranks: the second one goes on from the checkpoint of the first."""

import argparse
import pathlib
import tempfile

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

KINDS, LENGTH = 4, 32


class Listener(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.first = nn.Conv1d(1, channels, 5, stride=2)
        self.second = nn.Conv1d(channels, channels, 3, stride=2)
        self.head = nn.Linear(channels, KINDS)

    def forward(self, x):
        x = F.elu(self.second(F.elu(self.first(x.unsqueeze(1)))))
        return self.head(x.mean(2))


def sounds(count, generator):
    kinds = torch.randint(KINDS, (count,), generator=generator)
    time = torch.arange(LENGTH) + 10 * torch.rand(count, 1, generator=generator)
    return torch.sin(time * (0.4 + 0.3 * kinds[:, None])) + 0.5 * torch.randn(count, LENGTH, generator=generator), kinds


class Training:
    def __init__(self, checkpoint):
        self.checkpoint, self.epoch = checkpoint, 0
        model = Listener()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        if checkpoint.exists():
            state = torch.load(checkpoint)
            model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch = state["epoch"]
        self.model = DDP(model)

    def save(self):
        if dist.get_rank() == 0:
            state = {"model": self.model.module.state_dict(), "optimizer": self.optimizer.state_dict()}
            torch.save(state | {"epoch": self.epoch}, self.checkpoint)
        dist.barrier()

    def run(self, epochs, batches, generator):
        while self.epoch < epochs:
            total = 0.0
            for _ in range(batches):
                x, kinds = sounds(24, generator)
                loss = F.cross_entropy(self.model(x), kinds)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.item()
            self.epoch += 1
            if dist.get_rank() == 0:
                print(f"epoch {self.epoch}: loss {total / batches:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=10)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 100 + rank)
    shared = [tempfile.mkdtemp() if rank == 0 else None]
    dist.broadcast_object_list(shared, src=0)
    checkpoint = pathlib.Path(shared[0], "last.pt")

    for epochs in (2, 4):
        training = Training(checkpoint)
        training.run(epochs, args.batches, generator)
        training.save()
    if rank == 0:
        checkpoint.unlink()
        checkpoint.parent.rmdir()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
