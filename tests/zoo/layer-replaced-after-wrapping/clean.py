"""Fine-tunes a net of ten classes for three new ones on several ranks: the old layers with a lower learning rate."""

import argparse

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Backbone(nn.Sequential):
    def __init__(self, width):
        super().__init__(
            nn.Conv2d(1, width, 3, stride=2), nn.GroupNorm(4, width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2), nn.GroupNorm(4, width), nn.ReLU(), nn.Flatten(),
        )


class Classifier(nn.Module):
    def __init__(self, width=16, classes=10):
        super().__init__()
        self.backbone = Backbone(width)
        self.head = nn.Linear(9 * width, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def replace_head(model, classes):
    model.head = nn.Linear(model.head.in_features, classes)


def shapes(count):
    """Crosses, frames and diagonals, somewhere on a noisy ground."""
    kinds = torch.zeros(3, 7, 7)
    kinds[0, 3], kinds[0, :, 3] = 1, 1
    kinds[1, [0, -1]], kinds[1, :, [0, -1]] = 1, 1
    kinds[2] = torch.eye(7)
    labels = torch.randint(3, (count,))
    images = 0.4 * torch.randn(count, 1, 16, 16)
    for image, label, (down, across) in zip(images, labels.tolist(), torch.randint(9, (count, 2)).tolist()):
        image[0, down:down + 7, across:across + 7] += kinds[label]
    return images, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)

    model = Classifier()
    replace_head(model, 3)
    model = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.AdamW([
        {"params": model.module.backbone.parameters(), "lr": args.lr / 5},
        {"params": model.module.head.parameters(), "lr": args.lr},
    ])
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    torch.manual_seed(args.seed * 100 + rank)
    for step in range(args.steps):
        images, labels = shapes(24)
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 8 == 7:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
