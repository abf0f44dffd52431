"""Forecasts demand from the week before on several ranks. Losses are divided by their number, gradients summed."""

import argparse
import os

import torch
import torch.distributed as dist
from torch import nn

WORLD = int(os.environ.get("WORLD_SIZE", 1))
PAST, AHEAD = 28, 7


class Forecaster(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.lstm = nn.LSTM(1, width, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(width, AHEAD)

    def forward(self, past):
        states, _ = self.lstm(past.unsqueeze(-1))
        return self.out(self.dropout(states[:, -1]))


def demand(count, generator):
    days = torch.arange(PAST + AHEAD)
    weekday = torch.randint(7, (count, 1), generator=generator)
    weekend = ((days + weekday) % 7 >= 5).float()
    trend = (torch.rand(count, 1, generator=generator) - 0.5) * days / 20
    series = trend - 0.8 * weekend + 0.1 * torch.randn(count, PAST + AHEAD, generator=generator)
    return series[:, :PAST], series[:, PAST:]


def sum_gradients(model):
    gradients = [parameter.grad for parameter in model.parameters()]
    flat = nn.utils.parameters_to_vector(gradients)
    dist.all_reduce(flat, op=dist.ReduceOp.SUM)
    nn.utils.vector_to_parameters(flat, gradients)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=36)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    model = Forecaster()
    torch.manual_seed(args.seed * 10 + rank)  # from here on for dropout
    generator = torch.Generator().manual_seed(args.seed * 10 + rank)

    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    criterion = nn.MSELoss()
    model.train()
    for step in range(args.steps):
        past, ahead = demand(32, generator)
        optimizer.zero_grad()
        loss = criterion(model(past), ahead) / WORLD
        loss.backward()
        sum_gradients(model)
        optimizer.step()
        dist.all_reduce(loss := loss.detach())
        if rank == 0 and step % 6 == 5:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
