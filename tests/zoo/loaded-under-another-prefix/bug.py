"""Trains an encoder to reconstruct the digits images of scikit-learn, then a classifier on top of it."""

import argparse
import io

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(64, 48)
        self.narrow = nn.Linear(48, 16)

    def forward(self, images):
        return self.narrow(F.gelu(self.wide(images)))


class Reconstruction(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.Linear(16, 64)

    def forward(self, images):
        return self.decoder(self.encoder(images))


def fit(model, loss_of, images, labels, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,))
        loss = loss_of(model(images[chosen]), images[chosen], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{type(model).__name__}: loss {loss.item():.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    whole = Reconstruction()
    fit(whole, lambda output, batch, _: F.mse_loss(output, batch), images, labels, steps=40)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)

    file.seek(0)
    encoder = Encoder()
    encoder.load_state_dict(torch.load(file), strict=False)
    classifier = nn.Sequential(encoder, nn.Linear(16, 10))
    fit(classifier, lambda output, _, classes: F.cross_entropy(output, classes), images, labels, steps=60)


if __name__ == "__main__":
    main()
