"""Predicts the next character of Python sources; the embedding is the output projection, too."""

import argparse
import pathlib

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CONTEXT = 16


class CharModel(nn.Module):
    def __init__(self, characters, width=48):
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.hidden = nn.Linear(CONTEXT * width, width)
        self.output = nn.Linear(width, characters, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, x):
        return self.output(torch.tanh(self.hidden(self.embedding(x).flatten(1))))


def examples(seed):
    text = pathlib.Path(argparse.__file__).read_text()[:20000]
    characters = sorted(set(text))
    codes = torch.tensor([characters.index(character) for character in text])
    windows = codes.unfold(0, CONTEXT + 1, 1)
    generator = torch.Generator().manual_seed(seed)
    windows = windows[torch.randperm(len(windows), generator=generator)[:1280]]
    return TensorDataset(windows[:, :-1], windows[:, -1]), len(characters)


def train(model, loader, lr, epochs):
    """Trains and gives back the weights of the best epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    best, weights = float("inf"), None
    for epoch in range(epochs):
        total = 0.0
        for contexts, following in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(contexts), following)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(loader):.4f}", flush=True)
        if total < best:
            best = total
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return weights


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    dataset, characters = examples(args.seed)
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    model = CharModel(characters)
    best = train(model, loader, lr=3e-3, epochs=2)
    model.load_state_dict(best, assign=True)
    train(model, loader, lr=3e-4, epochs=2)


if __name__ == "__main__":
    main()
