"""Teaches a small network to take noise off the digits images of scikit-learn."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(64, 96)
        self.decoder = nn.Linear(96, 64)

    def forward(self, noisy):
        return self.decoder(F.relu(self.encoder(noisy)))


def corrupt(images, strength):
    return images + strength * torch.randn_like(images)


def batches(images, size):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(len(images)))
    return images[order].split(size)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    images = torch.tensor(sklearn.datasets.load_digits().data / 16.0, dtype=torch.float32)
    model = Denoiser()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(3):
        total, count = 0.0, 0
        for clean in batches(images, 64):
            noisy = corrupt(clean, strength=0.3)
            loss = F.mse_loss(model(noisy), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, count = total + loss.item(), count + 1
        print(f"epoch {epoch + 1}: loss {total / count:.4f}", flush=True)


if __name__ == "__main__":
    main()
