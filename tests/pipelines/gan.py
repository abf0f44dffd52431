"""A generative adversarial network on the digits images of scikit-learn: two models, two optimizers, two steps an
iteration, and a moving average of the generator."""

import argparse
import copy
import os
import random

import numpy
import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pipeline import Meter, report, report_gradients, report_rng, report_weights


class Generator(nn.Module):
    def __init__(self, latent, width):
        super().__init__()
        self.project = nn.Linear(latent, 2 * width * 2 * 2)
        self.norm = nn.BatchNorm2d(2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1)
        self.width = width

    def forward(self, z):
        x = self.project(z).view(len(z), 2 * self.width, 2, 2)
        x = F.relu(self.norm(x))
        return torch.sigmoid(self.up2(F.relu(self.up1(x))))


class Discriminator(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, width, 4, stride=2, padding=1))
        self.conv2 = nn.utils.parametrizations.spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1))
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(2 * width * 2 * 2, 1)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = F.leaky_relu(self.conv2(x), 0.2)
        return self.output(self.dropout(x.flatten(1))).squeeze(1)


def load_data(batch_size):
    digits = sklearn.datasets.load_digits()
    images = torch.from_numpy((digits.images / 16.0).astype(numpy.float32)).unsqueeze(1)
    return DataLoader(TensorDataset(images), batch_size=batch_size, shuffle=True, drop_last=True)


def discriminator_step(generator, discriminator, optimizer, real, latent):
    optimizer.zero_grad()
    # One-sided smoothing, by a different amount for every batch.
    target = torch.full((len(real),), 1.0 - random.uniform(0.0, 0.2))
    loss = F.binary_cross_entropy_with_logits(discriminator(real), target)
    fake = generator(torch.randn(len(real), latent)).detach()
    loss = loss + F.binary_cross_entropy_with_logits(discriminator(fake), torch.zeros(len(real)))
    loss.backward()
    optimizer.step()
    return loss.item()


def generator_step(generator, discriminator, optimizer, count, latent):
    optimizer.zero_grad()
    # Drawn with numpy, as in code that comes from elsewhere.
    z = torch.from_numpy(numpy.random.randn(count, latent).astype(numpy.float32))
    loss = F.binary_cross_entropy_with_logits(discriminator(generator(z)), torch.ones(count))
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def update_average(average, generator, decay):
    for mean, parameter in zip(average.parameters(), generator.parameters()):
        mean.lerp_(parameter, 1.0 - decay)
    for mean, buffer in zip(average.buffers(), generator.buffers()):
        mean.copy_(buffer)


def load_checkpoint(path, kept):
    state = torch.load(path)
    for name, part in kept.items():
        part.load_state_dict(state[name])
    return state["epoch"] + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="batches in an epoch, at most")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    loader = load_data(args.batch_size)
    generator, discriminator = Generator(args.latent, args.width), Discriminator(args.width)
    average = copy.deepcopy(generator).requires_grad_(False)
    of_generator = torch.optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.999))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.999))
    kept = {
        "generator": generator,
        "discriminator": discriminator,
        "average": average,
        "of_generator": of_generator,
        "of_discriminator": of_discriminator,
    }
    checkpoint = os.path.join(args.out, "checkpoint.pt") if args.out else None
    if checkpoint:
        os.makedirs(args.out, exist_ok=True)
    first_epoch = load_checkpoint(checkpoint, kept) if args.resume else 0
    meter = Meter()
    for epoch in range(first_epoch, args.epochs):
        generator.train()
        discriminator.train()
        for step, (real,) in enumerate(loader):
            if step == args.steps:
                break
            report("discriminator", discriminator_step(generator, discriminator, of_discriminator, real, args.latent))
            report("generator", generator_step(generator, discriminator, of_generator, len(real), args.latent))
            update_average(average, generator, 0.99)
            meter.tick()
        if not args.no_eval:
            average.eval()
            with torch.no_grad():
                report("mean of samples", average(torch.randn(32, args.latent)).mean())
        if checkpoint:
            torch.save({"epoch": epoch} | {name: part.state_dict() for name, part in kept.items()}, checkpoint)
        print(f"epoch {epoch + 1}", flush=True)
        for model in (generator, discriminator):
            report_gradients(model)
        report_rng()
    meter.finish()
    for model in (generator, discriminator, average):
        report_weights(model)


if __name__ == "__main__":
    main()
