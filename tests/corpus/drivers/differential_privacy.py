"""The private training of Opacus: gradients of each sample, clipped, with noise."""

import opacus
import torch
from opacus.utils.batch_memory_manager import BatchMemoryManager
from torch.utils.data import DataLoader, TensorDataset

from driver import CLASSES, images, options

args = options(batch_size=32, epochs=8, lr=0.02, width=8, optimizer="Adam", noise=0.6, clip=1.0, clipping="flat", physical=0,
               schedule=False, poisson=False, mode="hooks")  # fmt: skip
width = args.width
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, width, 3, 2, 1), torch.nn.GroupNorm(4, width), torch.nn.ReLU(),
    torch.nn.Conv2d(width, 2 * width, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * width, CLASSES),
)  # fmt: skip
optimizer = getattr(torch.optim, args.optimizer)(model.parameters(), lr=args.lr)
loader = DataLoader(TensorDataset(*images(256)), args.batch_size, shuffle=True)
bound = [args.clip] * len(list(model.parameters())) if args.clipping == "per_layer" else args.clip
engine = opacus.PrivacyEngine()
model, optimizer, loader = engine.make_private(
    module=model,
    optimizer=optimizer,
    data_loader=loader,
    noise_multiplier=args.noise,
    max_grad_norm=bound,
    clipping=args.clipping,
    poisson_sampling=args.poisson,
    grad_sample_mode=args.mode,
)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.7) if args.schedule else None


def epoch(batches):
    for x, y in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


for _ in range(args.epochs):
    model.train()
    if args.physical:
        with BatchMemoryManager(
            data_loader=loader, max_physical_batch_size=args.physical, optimizer=optimizer
        ) as batches:
            epoch(batches)
    else:
        epoch(loader)
    if schedule:
        schedule.step()
    print("epsilon", engine.get_epsilon(1e-5))
