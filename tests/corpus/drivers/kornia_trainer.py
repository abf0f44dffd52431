"""The trainer of kornia (kornia.x) with a small classifier of images and its augmentations."""

import kornia
import torch
from kornia.x import Configuration, ImageClassifierTrainer, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from driver import CLASSES, images, options

args = options(batch_size=16, lr=3e-3, width=8, epochs=6, optimizer="AdamW", schedule=False, augment=False, checkpoints=False,
               dropout=0.1)  # fmt: skip
width = args.width
# Twice the classes that there are: the trainer asks for the best five.
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, width, 3, 2, 1), torch.nn.BatchNorm2d(width), torch.nn.ReLU(),
    torch.nn.Conv2d(width, 2 * width, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Dropout(args.dropout),
    torch.nn.Linear(32 * width, 2 * CLASSES),
)  # fmt: skip
train = DataLoader(TensorDataset(*images(256)), args.batch_size, shuffle=True)
held = DataLoader(TensorDataset(*images(64)), 32)
optimizer = getattr(torch.optim, args.optimizer)(model.parameters(), lr=args.lr)
gamma = 0.98 if args.schedule else 1.0
callbacks = {}
if args.augment:
    change = torch.nn.Sequential(kornia.augmentation.RandomHorizontalFlip(p=0.0), kornia.augmentation.RandomErasing(p=0.3))
    callbacks["augmentations"] = lambda trainer, sample: sample | {"input": change(sample["input"])}
if args.checkpoints:
    callbacks["on_checkpoint"] = ModelCheckpoint("checkpoints", "top5")
trainer = ImageClassifierTrainer(
    model,
    train,
    held,
    torch.nn.CrossEntropyLoss(),
    optimizer,
    torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma),
    Configuration(num_epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, output_path="out"),
    callbacks=callbacks,
)
trainer.fit()
