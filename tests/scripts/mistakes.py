"""A training program in which each kind of mistake of scripts/mutations.py can be made. It is read, and never run."""

import copy
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.width = 4
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 4, bias=False)
        self.head.weight = self.body.weight

    def forward(self, x):
        return self.head(F.dropout(self.body(x), 0.1, self.training))


def seed_worker(worker):
    random.seed(torch.initial_seed())


def tokens(data, n):
    for start in range(0, n):
        yield data[start : start + 9], data[start + 1 : start + 10]


def train(model, mean, loader, optimizer, scheduler, accumulation, double=False):
    model.train()
    for index, (x, y) in enumerate(loader):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(x)[:, :-1], y) / accumulation
            loss = loss + 0.1 * F.mse_loss(mean(x).detach(), y.float())
            loss /= 2
        loss.backward(retain_graph=double)
        if (index + 1) % accumulation == 0:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        before = loss.item()
    scheduler.step()
    return before


@torch.no_grad()
def update_mean(mean, model):
    for old, new in zip(mean.parameters(), model.parameters()):
        old.lerp_(new, 0.1)


def main():
    torch.manual_seed(0)
    model = Net()
    mean = copy.deepcopy(model)
    mean.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    loader = DataLoader(list(tokens(torch.arange(99), 80)), shuffle=True, worker_init_fn=seed_worker)
    best = {name: value.clone() for name, value in model.state_dict().items()}
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        print(train(model, mean, loader, optimizer, scheduler, 2), flush=True)
        update_mean(mean, model)
    model.load_state_dict(best)


if __name__ == "__main__":
    main()
