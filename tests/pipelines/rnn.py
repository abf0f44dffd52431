"""A language model of characters with an LSTM, trained on the sources of Python's standard library by truncated
backpropagation through time: the hidden state is carried from one window to the next and cut off from its history."""

import argparse
import math
import os
import pathlib
import random
import sysconfig

import numpy
import torch
import torch.nn.functional as F
from torch import nn

from pipeline import Meter, report, report_gradients, report_rng, report_weights

# Modules that every CPython has, in a fixed order, so that the text is the same in every run.
SOURCES = ["bisect", "heapq", "queue", "sched", "textwrap", "shlex", "glob", "fnmatch"]


class CharacterModel(nn.Module):
    def __init__(self, vocabulary, width, layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, num_layers=layers, dropout=dropout, batch_first=True)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, tokens, state=None):
        hidden, state = self.lstm(self.dropout(self.embedding(tokens)), state)
        return self.output(self.dropout(hidden)), state


def load_text():
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES)
    return numpy.array([min(ord(character), 127) for character in text], dtype=numpy.int64)


class Windows:
    """Consecutive windows of `batch_size` pieces of the text; each pass begins a little further on."""

    def __init__(self, text, batch_size, length):
        self.text = text
        self.batch_size = batch_size
        self.length = length

    def __iter__(self):
        shifted = numpy.roll(self.text, -int(numpy.random.randint(self.length)))
        columns = len(shifted) // self.batch_size
        pieces = torch.from_numpy(shifted[: columns * self.batch_size].reshape(self.batch_size, columns))
        for start in range(0, columns - self.length - 1, self.length):
            yield pieces[:, start : start + self.length], pieces[:, start + 1 : start + self.length + 1]


def detach(state):
    return tuple(part.detach() for part in state)


def train_epoch(model, windows, optimizer, clip, steps, meter):
    model.train()
    state, total, count = None, 0.0, 0
    for tokens, targets in windows:
        if count == steps:
            break
        # Now and then a sequence starts afresh, as it will when the model is used.
        state = None if state is None or random.random() < 0.05 else detach(state)
        optimizer.zero_grad()
        logits, state = model(tokens, state)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        report("loss", loss.item())
        total += loss.item()
        count += 1
        meter.tick()
    return total / count


@torch.no_grad()
def evaluate(model, windows, steps):
    model.eval()
    state, total, count = None, 0.0, 0
    for tokens, targets in windows:
        if count == steps:
            break
        logits, state = model(tokens, state)
        total += F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
        count += 1
    return total / count


def save_checkpoint(path, model, optimizer, scheduler, epoch):
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": epoch,
    }
    torch.save(state, path)


def load_checkpoint(path, model, optimizer, scheduler):
    state = torch.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    return state["epoch"] + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="windows in an epoch, at most")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--clip", type=float, default=0.5)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--no-eval", action="store_true", help="the schedule then follows the training loss")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    text = load_text()
    held_out = len(text) // 10
    training = Windows(text[held_out:], args.batch_size, args.length)
    validation = Windows(text[:held_out], args.batch_size, args.length)

    model = CharacterModel(128, args.width, layers=2, dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    checkpoint = os.path.join(args.out, "checkpoint.pt") if args.out else None
    if checkpoint:
        os.makedirs(args.out, exist_ok=True)
    first_epoch = load_checkpoint(checkpoint, model, optimizer, scheduler) if args.resume else 0
    meter = Meter()
    for epoch in range(first_epoch, args.epochs):
        mean = train_epoch(model, training, optimizer, args.clip, args.steps, meter)
        validated = mean if args.no_eval else evaluate(model, validation, 8)
        scheduler.step(validated)
        if checkpoint:
            save_checkpoint(checkpoint, model, optimizer, scheduler, epoch)
        print(f"epoch {epoch + 1}: mean loss {mean:.4f}, perplexity {math.exp(validated):.2f}", flush=True)
        report_gradients(model)
        report_rng()
    meter.finish()
    report_weights(model)


if __name__ == "__main__":
    main()
