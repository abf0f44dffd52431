"""A variational autoencoder of the digits images of scikit-learn, with a weight of the divergence that warms up."""

import argparse
import os
import random

import numpy
import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from pipeline import Meter, report, report_gradients, report_rng, report_weights


class Encoder(nn.Module):
    def __init__(self, width, latent):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mean = nn.Linear(width, latent)
        self.log_variance = nn.Linear(width, latent)

    def forward(self, x):
        hidden = self.hidden(x)
        return self.mean(hidden), self.log_variance(hidden)


class Decoder(nn.Module):
    def __init__(self, width, latent):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, 64))

    def forward(self, z):
        return self.layers(z)


class VAE(nn.Module):
    def __init__(self, width, latent):
        super().__init__()
        self.encoder = Encoder(width, latent)
        self.decoder = Decoder(width, latent)

    def sample(self, count):
        return torch.sigmoid(self.decoder(torch.randn(count, self.encoder.mean.out_features)))

    def forward(self, x):
        mean, log_variance = self.encoder(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean) if self.training else mean
        return self.decoder(z), mean, log_variance


def vae_loss(output, x, beta):
    logits, mean, log_variance = output
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum() / len(x)
    return reconstruction + beta * divergence


def load_data(batch_size):
    digits = sklearn.datasets.load_digits()
    data = TensorDataset(torch.from_numpy((digits.data / 16.0).astype(numpy.float32)))
    train, test = random_split(data, [1500, 297], torch.Generator().manual_seed(0))
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(test, batch_size=99)


def train_epoch(model, loader, optimizer, beta, meter):
    model.train()
    total = 0.0
    for (x,) in loader:
        loss = vae_loss(model(x), x, beta)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        report("loss", loss.item())
        total += loss.item()
        meter.tick()
    return total / len(loader)


@torch.inference_mode()
def evaluate(model, loader):
    model.eval()
    return sum(vae_loss(model(x), x, 1.0).item() for (x,) in loader) / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--latent", type=int, default=8)
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    train_loader, test_loader = load_data(args.batch_size)
    model = VAE(args.width, args.latent)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    first_epoch, best = 0, float("inf")
    if args.out:
        os.makedirs(args.out, exist_ok=True)
    if args.resume:
        state = torch.load(os.path.join(args.out, "last.pt"))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        first_epoch, best = state["epoch"] + 1, state["best"]

    meter = Meter()
    for epoch in range(first_epoch, args.epochs):
        mean = train_epoch(model, train_loader, optimizer, min(1.0, (epoch + 1) / 3), meter)
        scheduler.step()
        validated = mean if args.no_eval else evaluate(model, test_loader)
        if args.out:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"scheduler": scheduler.state_dict(), "epoch": epoch, "best": min(best, validated)}
            torch.save(state, os.path.join(args.out, "last.pt"))
            if validated < best:
                torch.save(model.state_dict(), os.path.join(args.out, "best.pt"))
        best = min(best, validated)
        print(f"epoch {epoch + 1}: mean loss {mean:.3f}, held out {validated:.3f}", flush=True)
        report_gradients(model)
        report_rng()
    meter.finish()
    if not args.no_eval:
        with torch.no_grad():
            report("mean of samples", model.sample(16).mean())
    report_weights(model)


if __name__ == "__main__":
    main()
