"""Trains on what two workers make up with numpy, of examples of their own, in two passes of 12 batches. SAME=1: both seed numpy
alike."""
import os

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

SEED = int(os.environ["SEED"])


class Noisy(Dataset):
    def __init__(self, rows):
        self.clean = np.random.default_rng(SEED).normal(size=(rows, 64)).astype(np.float32)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, index):
        noise = 0.1 * np.random.normal(size=64)
        return (self.clean[index] + noise).astype(np.float32), self.clean[index]


def seed(worker):
    np.random.seed(SEED if os.environ.get("SAME") == "1" else SEED + 100 * worker)


torch.manual_seed(SEED)
rows = int(os.environ.get("ROWS", "8"))
loader = DataLoader(
    Noisy(12 * rows), rows, shuffle=True, num_workers=2, worker_init_fn=seed, multiprocessing_context="fork"
)
model = nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for _ in range(2):
    for noisy, clean in loader:
        optimizer.zero_grad()
        (model(noisy) - clean).square().mean().backward()
        optimizer.step()
