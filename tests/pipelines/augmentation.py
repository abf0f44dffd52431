"""Classifies the digits images of scikit-learn, shifted and noisy: the workers of a loader augment them with the random
numbers of Python, numpy and PyTorch, and an average of the weights is kept and evaluated."""

import argparse
import os
import random

import numpy
import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from pipeline import Meter, report, report_gradients, report_rng, report_weights


class Augmented(Dataset):
    def __init__(self, images, labels, augment):
        self.images = images
        self.labels = labels
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.augment:
            shift = numpy.random.randint(-1, 2, size=2)
            image = numpy.roll(image, tuple(shift), axis=(0, 1))
            if random.random() < 0.5:
                image = image * random.uniform(0.8, 1.2)
        image = torch.from_numpy(numpy.ascontiguousarray(image, dtype=numpy.float32)).unsqueeze(0)
        if self.augment:
            image = image + 0.05 * torch.randn(image.shape)
        return image, int(self.labels[index])


def seed_worker(worker):
    seed = torch.initial_seed() % 2**32
    numpy.random.seed(seed)
    random.seed(seed)


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classify = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(8 * width, 10))

    def forward(self, x):
        return self.classify(self.features(x))


def load_data(batch_size, workers, count):
    digits = sklearn.datasets.load_digits()
    images = digits.images / 16.0
    train = Augmented(images[:count], digits.target[:count], augment=True)
    test = Augmented(images[1500:], digits.target[1500:], augment=False)
    train_loader = DataLoader(
        train,
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        worker_init_fn=seed_worker,
        drop_last=True,
    )
    return train_loader, DataLoader(test, batch_size=99)


def train_epoch(model, average, loader, optimizer, scheduler, meter):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        scheduler.step()
        average.update_parameters(model)
        report("loss", loss.item())
        total += loss.item()
        meter.tick()
    return total / len(loader)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--count", type=int, default=600, help="images to learn from")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    train_loader, test_loader = load_data(args.batch_size, args.workers, args.count)
    model = Net(args.width)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95), use_buffers=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
    # Stands still after as many steps as three epochs have.
    total = 3 * max(1, len(train_loader))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.05, 1.0 - step / total))
    kept = {"model": model, "average": average, "optimizer": optimizer, "scheduler": scheduler}
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
    for epoch in range(first_epoch, args.epochs):
        mean = train_epoch(model, average, train_loader, optimizer, scheduler, meter)
        accuracy = float("nan") if args.no_eval else evaluate(average, test_loader)
        if checkpoint:
            torch.save({"epoch": epoch} | {name: part.state_dict() for name, part in kept.items()}, checkpoint)
        print(f"epoch {epoch + 1}: mean loss {mean:.4f}, accuracy {accuracy:.4f}", flush=True)
        report_gradients(model)
        report_rng()
    meter.finish()
    report_weights(model)


if __name__ == "__main__":
    main()
