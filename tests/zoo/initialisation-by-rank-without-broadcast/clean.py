"""Counts blobs in small images on several ranks, without a wrapper: gradients are averaged by hand."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

SIZE, MOST = 12, 4


class Counter(nn.Module):
    def __init__(self, channels=12):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(3, channels), nn.ReLU(),
        )
        self.classifier = nn.Linear(channels, MOST + 1)

    def forward(self, x):
        return self.classifier(self.features(x).sum((2, 3)) / SIZE)


def blobs(count):
    numbers = torch.randint(MOST + 1, (count,))
    axis = torch.arange(SIZE).float()
    images = 0.1 * torch.randn(count, 1, SIZE, SIZE)
    for image, number in zip(images, numbers.tolist()):
        for x, y in (torch.rand(number, 2) * (SIZE - 4) + 2).tolist():
            image[0] += torch.exp(-((axis - x)[:, None] ** 2 + (axis - y)[None] ** 2) / 1.5)
    return images, numbers


def train_step(model, optimizer, images, numbers):
    loss = F.cross_entropy(model(images), numbers)
    optimizer.zero_grad()
    loss.backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad, op=dist.ReduceOp.SUM)
        parameter.grad.div_(dist.get_world_size())
    optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    dist.init_process_group(backend="gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed + 10 * rank)  # each rank draws images of its own

    model = Counter()
    for tensor in model.state_dict().values():
        dist.broadcast(tensor, src=0)
    optimizer = torch.optim.NAdam(model.parameters(), lr=5e-3)
    smooth = None
    for step in range(1, args.steps + 1):
        loss = train_step(model, optimizer, *blobs(16))
        smooth = loss if smooth is None else 0.8 * smooth + 0.2 * loss
        if rank == 0 and step % 5 == 0:
            print(f"step {step}: loss {smooth:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
