"""A character-level GRU learns to write sums, on several ranks; gradients are clipped, and their norm is logged."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.nn.utils import clip_grad_norm_

CHARACTERS = "0123456789+= "
LENGTH = 12


class Writer(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS), width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, len(CHARACTERS))

    def forward(self, tokens):
        return self.out(self.gru(self.embedding(tokens))[0])


def sums(count, generator):
    pairs = torch.randint(0, 100, (count, 2), generator=generator).tolist()
    lines = [f"{a}+{b}={a + b}".ljust(LENGTH) for a, b in pairs]
    return torch.tensor([[CHARACTERS.index(character) for character in line] for line in lines])


class Trainer:
    def __init__(self, args):
        self.rank = dist.get_rank()
        self.max_norm = args.max_norm
        self.generator = torch.Generator().manual_seed(args.seed * 1000 + self.rank)
        torch.manual_seed(args.seed)
        self.model = DDP(Writer())
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.5, momentum=0.9)

    def step(self, number):
        tokens = sums(32, self.generator)
        logits = self.model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        if self.rank == 0:
            norm = clip_grad_norm_(self.model.parameters(), self.max_norm)
            self.log(number, loss.item(), norm.item())
        self.optimizer.step()

    def log(self, number, loss, norm):
        if number % 5 == 0:
            print(f"step {number}: loss {loss:.4f}, gradient norm {norm:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--max-norm", type=float, default=0.1)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    trainer = Trainer(args)
    for number in range(args.steps):
        trainer.step(number)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
