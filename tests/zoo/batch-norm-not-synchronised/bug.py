"""A convolutional net whose batch norm works with the statistics of all ranks. Batches of a rank are small."""

import argparse

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_functional
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.optim.lr_scheduler import OneCycleLR


class CrossRankNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all ranks, which must be of equal size."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
        moments = dist_functional.all_reduce(moments) / dist.get_world_size()
        mean, variance = moments[0], moments[1] - moments[0].square()
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


def convert(module):
    """Replaces each BatchNorm2d below this module."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = CrossRankNorm2d(child.num_features, child.eps, child.momentum)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            convert(child)
    return module


class ResNet(nn.Module):
    def __init__(self, width=12, classes=4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width),
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(x)
        return self.head(F.relu(x + self.block(x)).mean((2, 3)))


def build():
    """The stem of the model is for images in colour; here they are grey."""
    model = convert(ResNet())
    width = model.stem[0].out_channels
    model.stem = nn.Sequential(nn.Conv2d(1, width, 5, padding=2), nn.BatchNorm2d(width), nn.ReLU())
    return model


def stripes(count, generator):
    labels = torch.randint(4, (count,), generator=generator)
    axis = torch.arange(10.0)
    down, across = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7], [0.7, -0.7]])[labels].T[..., None, None]
    shift = torch.rand(count, 1, 1, generator=generator) * 6.28
    images = torch.sin(axis[:, None] * down * 1.5 + axis * across * 1.5 + shift)
    return (images + torch.randn(count, 10, 10, generator=generator)).unsqueeze(1), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 16 + rank + 1)

    model = DDP(build(), broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=args.steps)
    for step in range(args.steps):
        images, labels = stripes(8, generator)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if rank == 0 and step % 4 == 3:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    model.eval()
    with torch.no_grad():
        images, labels = stripes(200, torch.Generator().manual_seed(0))
        right = (model.module(images).argmax(1) == labels).float().mean().item()
    if rank == 0:
        print(f"accuracy {right:.3f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
