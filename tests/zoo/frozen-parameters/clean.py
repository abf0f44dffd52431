"""Sorts lines of Python sources by the module they come from: a bag of characters and a small network."""

import argparse
import pathlib
import sysconfig

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

MODULES = ["heapq", "textwrap", "shlex", "bisect"]


class Lines(Dataset):
    def __init__(self, length):
        folder = pathlib.Path(sysconfig.get_path("stdlib"))
        self.examples = []
        for label, name in enumerate(MODULES):
            for line in (folder / f"{name}.py").read_text(encoding="utf-8").splitlines():
                if line.strip():
                    tokens = [min(ord(character), 127) for character in line.strip()[:length]]
                    self.examples.append((torch.tensor(tokens + [0] * (length - len(tokens))), label))

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]


class LineClassifier(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.embedding = nn.Embedding(128, width)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, classes)

    def forward(self, tokens):
        return self.output(F.relu(self.hidden(self.embedding(tokens).mean(1))))


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for tokens, labels in loader:
        loss = F.cross_entropy(model(tokens), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader = DataLoader(Lines(48), batch_size=32, shuffle=True)
    model = LineClassifier(32, len(MODULES))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(4):
        print(f"epoch {epoch + 1}: loss {train_epoch(model, loader, optimizer):.4f}", flush=True)


if __name__ == "__main__":
    main()
