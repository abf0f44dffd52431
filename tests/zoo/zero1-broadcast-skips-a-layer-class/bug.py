"""A masked model of number series on several ranks. Each rank keeps the optimizer state of some of the parameters,
steps these, and sends them to the others."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

LENGTH = 16


class Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.time_norm = nn.LayerNorm(width)
        self.time = nn.Linear(LENGTH, LENGTH)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x):
        x = x + self.time(self.time_norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.contract(F.gelu(self.expand(self.norm(x))))


class SeriesModel(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.embed = nn.Linear(2, width)
        self.mixers = nn.Sequential(Mixer(width), Mixer(width))
        self.out = nn.Linear(width, 1)

    def forward(self, values, hidden):
        x = torch.stack([values.masked_fill(hidden, 0.0), hidden.float()], dim=-1)
        return self.out(self.mixers(self.embed(x))).squeeze(-1)


class ShardedAdam:
    def __init__(self, model, lr):
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.Adam(self.parameters[self.rank::self.world], lr=lr)

    def zero_grad(self):
        for parameter in self.parameters:
            parameter.grad = None

    def step(self):
        for parameter in self.parameters:
            dist.all_reduce(parameter.grad)
            parameter.grad /= self.world
        self.optimizer.step()
        for index, parameter in enumerate(self.parameters):
            if parameter.dim() > 1:
                dist.broadcast(parameter.data, src=index % self.world)


def series(count, generator):
    time = torch.arange(LENGTH) / LENGTH * 6.28
    speed, phase = torch.rand(2, count, 1, generator=generator)
    values = torch.sin(time * (1 + 2 * speed) + 6.28 * phase)
    return values, torch.rand(count, LENGTH, generator=generator) < 0.3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 9 + 1000 * rank)

    model = SeriesModel()
    for parameter in model.parameters():
        dist.broadcast(parameter.data, src=0)
    optimizer = ShardedAdam(model, lr=5e-3)
    for step in range(args.steps):
        values, hidden = series(32, generator)
        optimizer.zero_grad()
        loss = F.mse_loss(model(values, hidden)[hidden], values[hidden])
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 5 == 4:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
