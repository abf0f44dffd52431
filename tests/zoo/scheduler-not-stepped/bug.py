"""Predicts the next character of Python sources with a GRU, with a warm-up and a linear decay of the learning rate."""

import argparse
import pathlib
import sysconfig

import torch
import torch.nn.functional as F
from torch import nn


class CharacterModel(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        return self.output(self.gru(self.embedding(tokens))[0])


def load_text():
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    text = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in ["heapq", "textwrap", "shlex"])
    return torch.tensor([min(ord(character), 127) for character in text])


def get_batch(text, batch_size, length):
    starts = torch.randint(len(text) - length - 1, (batch_size,))
    windows = torch.stack([text[start : start + length + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def train(model, text, optimizer, scheduler, iterations):
    model.train()
    for iteration in range(iterations):
        tokens, targets = get_batch(text, batch_size=16, length=32)
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if iteration % 20 == 0:
            print(f"iteration {iteration}: loss {loss.item():.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=120)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    model = CharacterModel(128, 48)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=args.iterations)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, decay], milestones=[10])
    train(model, load_text(), optimizer, scheduler, args.iterations)


if __name__ == "__main__":
    main()
