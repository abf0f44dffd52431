"""Mixed precision on the CPU: autocast to bfloat16, a gradient scaler that leaves out the steps whose gradients
overflow, clipping, accumulation of gradients, and parameter groups with and without weight decay."""

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


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, 2 * width)
        self.output = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.output(F.gelu(self.hidden(self.norm(x))))


class Net(nn.Module):
    def __init__(self, width, blocks):
        super().__init__()
        self.input = nn.Linear(64, width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.output = nn.Linear(width, 10)

    def forward(self, x):
        return self.output(self.blocks(self.input(x)))


def load_data(batch_size):
    digits = sklearn.datasets.load_digits()
    images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    train = DataLoader(TensorDataset(images[:1500], labels[:1500]), batch_size=batch_size, shuffle=True)
    return train, DataLoader(TensorDataset(images[1500:], labels[1500:]), batch_size=99)


def make_optimizer(model, lr):
    decay = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    no_decay = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": no_decay, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr)


def train_epoch(model, loader, optimizer, scheduler, scaler, accumulation, meter):
    model.train()
    total = 0.0
    optimizer.zero_grad(set_to_none=True)
    for index, (images, labels) in enumerate(loader):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(images), labels, reduction="sum") / accumulation
        scaler.scale(loss).backward()
        if (index + 1) % accumulation == 0 or index + 1 == len(loader):
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            if scaler.get_scale() >= before:
                scheduler.step()
            else:
                print(f"left out a step: scale {scaler.get_scale():.3g}", flush=True)
        report("loss", loss.item())
        total += loss.item()
        meter.tick()
    return total / len(loader)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    right = 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for images, labels in loader:
            right += (model(images).argmax(1) == labels).sum().item()
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--scale", type=float, default=2.0**127, help="the default makes some gradients overflow")
    parser.add_argument("--until", type=int, help="stop after this epoch of --epochs")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    train_loader, test_loader = load_data(args.batch_size)
    model = Net(args.width, blocks=2)
    optimizer = make_optimizer(model, args.lr)
    total = args.epochs * -(-len(train_loader) // args.accumulation)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=total + 1)
    # It grows back every few steps, and so gradients overflow again now and then.
    scaler = torch.amp.GradScaler("cpu", init_scale=args.scale, growth_interval=8)
    kept = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    checkpoint = os.path.join(args.out, "checkpoint.pt") if args.out else None
    if checkpoint:
        os.makedirs(args.out, exist_ok=True)
    first_epoch = 0
    if args.resume:
        state = torch.load(checkpoint)
        for name, part in kept.items():
            part.load_state_dict(state[name])
        first_epoch = state["epoch"] + 1
    meter = Meter()
    for epoch in range(first_epoch, args.until or args.epochs):
        mean = train_epoch(model, train_loader, optimizer, scheduler, scaler, args.accumulation, meter)
        accuracy = float("nan") if args.no_eval else evaluate(model, test_loader)
        if checkpoint:
            torch.save({"epoch": epoch} | {name: part.state_dict() for name, part in kept.items()}, checkpoint)
        print(f"epoch {epoch + 1}: mean loss {mean:.4f}, accuracy {accuracy:.4f}", flush=True)
        report_gradients(model)
        report_rng()
    meter.finish()
    report_weights(model)


if __name__ == "__main__":
    main()
