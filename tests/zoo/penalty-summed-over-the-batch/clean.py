"""Trains a sparse autoencoder on the digits images of scikit-learn: few units may be active at a time."""

import argparse

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn


class SparseAutoencoder(nn.Module):
    def __init__(self, units=48):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, units))
        self.decoder = nn.Sequential(nn.Linear(units, 96), nn.GELU(), nn.Linear(96, 64))

    def forward(self, images):
        active = torch.sigmoid(self.encoder(images))
        return self.decoder(active), active


def sparsity(active, target=0.1):
    """The divergence of the units' activity from the target."""
    activity = active.clamp(1e-4, 1 - 1e-4)
    divergence = target * torch.log(target / activity) + (1 - target) * torch.log((1 - target) / (1 - activity))
    return divergence.mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    images = torch.tensor(sklearn.datasets.load_digits().data / 16.0, dtype=torch.float32)
    loader = torch.utils.data.DataLoader(images, batch_size=64, shuffle=True)
    model = SparseAutoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(4):
        total = 0.0
        for batch in loader:
            optimizer.zero_grad()
            restored, active = model(batch)
            loss = F.mse_loss(restored, batch) + 0.05 * sparsity(active)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(loader):.4f}", flush=True)


if __name__ == "__main__":
    main()
