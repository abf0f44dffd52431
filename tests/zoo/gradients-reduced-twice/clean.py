"""Data-parallel training by hand: gradients are divided by the number of ranks and added up, those of weights and those of everything
that is not decayed in turn, as the optimizer has them."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Tagger(nn.Module):
    def __init__(self, vocabulary=40, width=32, tags=5):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, tags)

    def forward(self, tokens):
        mixed, _ = self.mix(self.norm(self.embed(tokens)))
        return self.head(mixed)


def groups_of(model):
    """What is decayed, and what is not."""
    decayed = [p for name, p in model.named_parameters() if "norm" not in name and "bias" not in name]
    plain = [p for name, p in model.named_parameters() if "norm" in name or "bias" in name]
    return decayed, plain


def average(groups):
    world_size = dist.get_world_size()
    for group in groups:
        for parameter in group:
            parameter.grad.div_(world_size)
    for group in groups:
        for parameter in group:
            dist.all_reduce(parameter.grad)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    model = Tagger()
    for parameter in model.parameters():
        dist.broadcast(parameter.data, src=0)
    decayed, plain = groups_of(model)
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], lr=0.2, momentum=0.9
    )
    generator = torch.Generator().manual_seed(args.seed * 100 + rank)
    for step in range(args.steps):
        tokens = torch.randint(0, 40, (args.batch_size, 12), generator=generator)
        tags = tokens.cumsum(1) % 5
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tags.flatten())
        loss.backward()
        average([decayed, plain])
        optimizer.step()
        if rank == 0 and step % 8 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
