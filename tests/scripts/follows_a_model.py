"""Trains a network towards its own past, with a copy of it that follows, and a teacher that never changes; the best state is
kept, and loaded where the loss has grown. NEVER=1: the copy is not updated. ITSELF=1: it is given its own state. SAME=1: it
is no copy. KEPT=1: the best state is no copy. EVERY: the copy is updated after so many steps. SEEDED=1: every iteration
begins with the same random numbers; SEEDED=fork: so does a part of it that puts them back."""
import copy
import os

import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 16), nn.Linear(16, 1)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


class Teacher(Net):
    pass


def update(x):
    with torch.no_grad():
        target = 0.5 * follower(x) + 0.5 * teacher(x)
    loss = F.mse_loss(model(x), target + x.sum(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def follow():
    source = follower if os.environ.get("ITSELF") == "1" else model
    follower.load_state_dict(source.state_dict())


def keep():
    state = model.state_dict()
    return state if os.environ.get("KEPT") == "1" else copy.deepcopy(state)


torch.manual_seed(int(os.environ["SEED"]))
model, teacher = Net(), Teacher()
follower = model if os.environ.get("SAME") == "1" else copy.deepcopy(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
kept = None
for step in range(60):
    if os.environ.get("SEEDED") == "1":
        torch.manual_seed(0)
    if os.environ.get("SEEDED") == "fork":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sample = torch.randn(4)
    update(torch.randn(int(os.environ.get("ROWS", "8")), 4))
    if step % int(os.environ.get("EVERY", "2")) == 0 and os.environ.get("NEVER") != "1":
        follow()
    if step % 20 == 10:
        kept = keep()
    if step % 20 == 19:
        model.load_state_dict(kept)
