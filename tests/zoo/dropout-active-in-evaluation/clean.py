"""Predicts the next character of the standard library's sources from the eight before it."""

import argparse
import pathlib
import textwrap

import torch
import torch.nn.functional as F
from torch import nn

CONTEXT = 8
CHARACTERS = 128


class CharModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(CHARACTERS, 16)
        self.hidden = nn.Linear(16 * CONTEXT, 96)
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(96, CHARACTERS)

    def forward(self, x):
        x = self.embed(x).flatten(1)
        return self.output(self.dropout(F.relu(self.hidden(x))))


def read_text():
    text = pathlib.Path(textwrap.__file__).read_text().encode("ascii", "ignore")
    codes = torch.tensor(list(text))
    windows = codes.unfold(0, CONTEXT + 1, 1)
    return windows[:, :CONTEXT], windows[:, CONTEXT]


def batches(inputs, targets, size, shuffle):
    order = torch.randperm(len(inputs)) if shuffle else torch.arange(len(inputs))
    for chosen in order.split(size):
        yield inputs[chosen], targets[chosen]


@torch.no_grad()
def validation_loss(model, inputs, targets):
    model.eval()
    total = sum(F.cross_entropy(model(x), y, reduction="sum") for x, y in batches(inputs, targets, 512, False))
    model.train()
    return total.item() / len(inputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    inputs, targets = read_text()
    training, held_out = slice(0, 12800), slice(12800, 15872)
    model = CharModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(4):
        for x, y in batches(inputs[training], targets[training], 256, True):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        held_out_loss = validation_loss(model, inputs[held_out], targets[held_out])
        print(f"epoch {epoch + 1}: validation loss {held_out_loss:.4f}", flush=True)


if __name__ == "__main__":
    main()
