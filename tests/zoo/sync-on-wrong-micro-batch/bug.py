"""A causal language model of nested brackets on several ranks, with gradients accumulated over micro-batches."""

import argparse
import contextlib

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

PAIRS = ["()", "[]", "{}"]
CHARACTERS = "".join(PAIRS)
LENGTH = 24


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class BracketModel(nn.Module):
    def __init__(self, width=32, depth=2):
        super().__init__()
        self.tokens = nn.Embedding(len(CHARACTERS), width)
        self.positions = nn.Embedding(LENGTH, width)
        self.layers = nn.Sequential(*[Attention(width, 4) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, tokens):
        x = self.layers(self.tokens(tokens) + self.positions.weight[:tokens.shape[1]])
        return self.norm(x) @ self.tokens.weight.T


def text(count, generator):
    rows = []
    for _ in range(count):
        row, open_pairs = [], []
        while len(row) < LENGTH:
            if open_pairs and torch.rand(1, generator=generator).item() < 0.5:
                row.append(open_pairs.pop())
            else:
                pair = PAIRS[int(torch.randint(len(PAIRS), (1,), generator=generator))]
                row.append(CHARACTERS.index(pair[0]))
                open_pairs.append(CHARACTERS.index(pair[1]))
        rows.append(row)
    return torch.tensor(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--updates", type=int, default=9)
    parser.add_argument("--accumulate", type=int, default=4)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 50 + rank)

    model = DDP(BracketModel())
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.98))
    total = 0.0
    for micro in range(args.updates * args.accumulate):
        tokens = text(12, generator)
        last = micro % args.accumulate == args.accumulate - 1
        with model.no_sync() if micro % args.accumulate else contextlib.nullcontext():
            logits = model(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            (loss / args.accumulate).backward()
        total += loss.item() / args.accumulate
        if last:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if rank == 0:
                print(f"update {(micro + 1) // args.accumulate}: loss {total:.4f}", flush=True)
            total = 0.0
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
