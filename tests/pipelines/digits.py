"""Classifies the digits images of scikit-learn with a small convolutional network.

A complete pipeline as people write them: loaders, a training and an evaluation function, a schedule, checkpoints,
resuming. `--bug` builds in one of five silent errors: the program runs to its end and prints losses all the same.
"""

import argparse
import os
import random

import numpy
import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pipeline import Meter, report, report_gradients, report_rng, report_weights

BUGS = ["none", "no-zero-grad", "stale-optimizer", "no-scheduler-step", "frozen-backbone", "eval-mode"]


class Backbone(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(2 * width)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return F.max_pool2d(x, 2)


class Head(nn.Module):
    def __init__(self, features, classes, dropout):
        super().__init__()
        self.hidden = nn.Linear(features, 64)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.hidden(torch.flatten(x, 1)))
        return self.output(self.dropout(x))


class Net(nn.Module):
    def __init__(self, width=16, dropout=0.2):
        super().__init__()
        self.backbone = Backbone(width)
        self.head = Head(2 * width * 4 * 4, 10, dropout)

    def forward(self, x):
        return self.head(self.backbone(x))


def load_data(batch_size, workers):
    digits = sklearn.datasets.load_digits()
    images = torch.from_numpy((digits.images / 16.0).astype(numpy.float32)).unsqueeze(1)
    labels = torch.from_numpy(digits.target).long()
    # The split must not depend on the seed of the run: the same images are held out in every run.
    order = torch.from_numpy(numpy.random.RandomState(0).permutation(len(labels)))
    train, test = order[:1437], order[1437:]
    train_loader = DataLoader(
        TensorDataset(images[train], labels[train]), batch_size=batch_size, shuffle=True, num_workers=workers
    )
    test_loader = DataLoader(TensorDataset(images[test], labels[test]), batch_size=256)
    return train_loader, test_loader


def train_epoch(model, loader, optimizer, meter, bug):
    if bug != "eval-mode":
        model.train()
    total = 0.0
    for images, labels in loader:
        if bug != "no-zero-grad":
            optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        report("loss", loss.item())
        total += loss.item()
        meter.tick()
    return total / len(loader)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    right = 0
    count = 0
    for images, labels in loader:
        right += (model(images).argmax(1) == labels).sum().item()
        count += len(labels)
    return right / count


def save_checkpoint(path, model, optimizer, scheduler, epoch):
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "epoch": epoch,
        },
        path,
    )


def load_checkpoint(path, model, optimizer, scheduler):
    checkpoint = torch.load(path)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    return checkpoint["epoch"] + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--bug", choices=BUGS, default="none")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    train_loader, test_loader = load_data(args.batch_size, args.workers)

    model = Net(args.width, args.dropout)
    if args.bug == "frozen-backbone":
        # Left over from an experiment in which only the head of a trained model was tuned.
        for parameter in model.backbone.parameters():
            parameter.requires_grad = False
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    if args.bug == "stale-optimizer":
        # Built anew "with the final settings"; the optimizer keeps the parameters of the first one.
        model = Net(args.width, args.dropout)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)

    checkpoint = os.path.join(args.out, "checkpoint.pt") if args.out else None
    if checkpoint:
        os.makedirs(args.out, exist_ok=True)
    first_epoch = 0
    if args.resume and checkpoint:
        first_epoch = load_checkpoint(checkpoint, model, optimizer, scheduler)

    meter = Meter()
    for epoch in range(first_epoch, args.epochs):
        mean = train_epoch(model, train_loader, optimizer, meter, args.bug)
        if args.bug != "no-scheduler-step":
            scheduler.step()
        accuracy = float("nan") if args.no_eval else evaluate(model, test_loader)
        if checkpoint:
            save_checkpoint(checkpoint, model, optimizer, scheduler, epoch)
        print(f"epoch {epoch + 1}: mean loss {mean:.4f}, accuracy {accuracy:.4f}", flush=True)
        report_gradients(model)
        report_rng()
    meter.finish()
    report_weights(model)


if __name__ == "__main__":
    main()
