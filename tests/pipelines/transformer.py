"""A small GPT-like model of characters, trained on the sources of Python's standard library; on several ranks where a launcher
says so."""

import argparse
import os
import pathlib
import random
import sysconfig

import numpy
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline import Meter, report, report_gradients, report_rng, report_weights

# Modules that every CPython has, in a fixed order, so that the text is the same in every run.
SOURCES = ["argparse", "ast", "bdb", "calendar", "codecs", "copy", "csv", "datetime", "decimal", "difflib", "dis"]


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.project(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class GPT(nn.Module):
    def __init__(self, vocabulary, context, width=128, heads=4, layers=4, dropout=0.1):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))


def load_text():
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES)
    return torch.tensor([min(ord(character), 127) for character in text])


def batches(text, batch_size, context, iterations):
    for _ in range(iterations):
        starts = torch.randint(len(text) - context - 1, (batch_size,))
        yield (
            torch.stack([text[start : start + context] for start in starts]),
            torch.stack([text[start + 1 : start + context + 1] for start in starts]),
        )


def save_checkpoint(path, model, optimizer, scheduler, iterations):
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "iterations": iterations,
    }
    torch.save(state, path)


def load_checkpoint(path, model, optimizer, scheduler):
    state = torch.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    return state["iterations"]


@torch.no_grad()
def evaluate(model, batches):
    model.eval()
    losses = [F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item() for inputs, targets in batches]
    model.train()
    return sum(losses) / len(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--eval-every", type=int, default=0, help="evaluate after each so many iterations; 0: never")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for a checkpoint at the end; none is written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    model = GPT(128, args.context, args.width)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks > 1:
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
        torch.manual_seed(args.seed + dist.get_rank())
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))
    checkpoint = os.path.join(args.out, "checkpoint.pt") if args.out else None
    if checkpoint:
        os.makedirs(args.out, exist_ok=True)
    done = load_checkpoint(checkpoint, model, optimizer, scheduler) if args.resume else 0
    text = load_text()
    meter = Meter()
    for inputs, targets in batches(text, args.batch_size, args.context, args.iterations - done):
        logits = model(inputs)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        report("loss", loss.item())
        meter.tick()
        done += 1
        if args.eval_every and done % args.eval_every == 0 and not args.no_eval:
            report("held out", evaluate(model, batches(text, args.batch_size, args.context, 3)))
    meter.finish()
    if checkpoint:
        save_checkpoint(checkpoint, model, optimizer, scheduler, done)
    report_gradients(model)
    report_rng()
    report_weights(model)


if __name__ == "__main__":
    main()
