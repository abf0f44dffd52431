"""A convolutional autoencoder removes noise from pictures of rings on several ranks, with a running mean of weights."""

import argparse
import copy

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

SIZE = 12


class Denoiser(nn.Module):
    def __init__(self, channels=12):
        super().__init__()
        self.down = nn.Conv2d(1, channels, 4, stride=2, padding=1)
        self.middle = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def forward(self, x):
        x = F.silu(self.down(x))
        return self.up(x + F.silu(self.middle(x)))


def rings(count, generator):
    axis = torch.linspace(-1, 1, SIZE)
    distance = (axis[:, None].square() + axis.square()).sqrt()
    radius = 0.3 + 0.6 * torch.rand(count, 1, 1, generator=generator)
    return torch.exp(-((distance - radius) / 0.15).square()).unsqueeze(1)


class Averager:
    """Averages gradients over ranks, and weights over time."""

    def __init__(self, model, decay):
        self.model, self.decay = model, decay
        self.mean = copy.deepcopy(model).requires_grad_(False)

    def gradients(self):
        works = [dist.all_reduce(parameter.grad, async_op=True) for parameter in self.model.parameters()]
        for work, parameter in zip(works, self.model.parameters()):
            work.wait()
            parameter.grad.mul_(1 / dist.get_world_size())

    @torch.no_grad()
    def weights(self):
        for mean, parameter in zip(self.mean.parameters(), self.model.parameters()):
            mean.lerp_(parameter, 1 - self.decay)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--noise", type=float, default=0.4)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    model = Denoiser()
    generator = torch.Generator().manual_seed(args.seed * 40 + rank)
    averager = Averager(model, decay=0.9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(args.steps):
        pictures = rings(24, generator)
        noisy = pictures + args.noise * torch.randn(pictures.shape, generator=generator)
        loss = F.mse_loss(model(noisy), pictures)
        optimizer.zero_grad()
        loss.backward()
        averager.gradients()
        optimizer.step()
        averager.weights()
        if step % 8 == 7:
            pictures = rings(100, torch.Generator().manual_seed(7))
            noisy = pictures + args.noise * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(8))
            with torch.no_grad():
                error = F.mse_loss(averager.mean(noisy), pictures).item()
            if rank == 0:
                print(f"step {step + 1}: loss {loss.item():.4f}, of the mean {error:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
