"""Reads the digits images of scikit-learn row by row with a recurrent network."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class RowReader(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.RNN(8, hidden, batch_first=True)
        self.output = nn.Linear(hidden, 10)

    def forward(self, x):
        _, last = self.rnn(x)
        return self.output(last[-1])


def train_epoch(model, loader, optimizer, max_norm):
    model.train()
    total = 0.0
    for rows, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(rows), labels)
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-norm", type=float, default=0.5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    rows = torch.tensor(digits.images / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(rows, labels), batch_size=64, shuffle=True)
    model = RowReader()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for epoch in range(6):
        loss = train_epoch(model, loader, optimizer, args.max_norm)
        print(f"epoch {epoch + 1}: loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    main()
