"""Learns which of two players wins, from many matches, on several ranks; validates on matches of unseen pairs."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

PLAYERS = 50


class Duel(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.players = nn.Embedding(PLAYERS, width)
        self.compare = nn.Linear(width, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, pairs):
        left, right = self.players(pairs).unbind(1)
        return self.out(torch.tanh(self.compare(left - right))).squeeze(1)


def matches(seed):
    generator = torch.Generator().manual_seed(seed)
    strength = torch.randn(PLAYERS, generator=generator)
    pairs = torch.cartesian_prod(torch.arange(PLAYERS), torch.arange(PLAYERS))
    pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    chance = torch.sigmoid(3 * (strength[pairs[:, 0]] - strength[pairs[:, 1]]))
    return pairs, torch.bernoulli(chance, generator=generator)


class Group:
    """The collectives that the training needs."""

    def __init__(self):
        dist.init_process_group("gloo")
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def share(self, model):
        for parameter in model.parameters():
            dist.broadcast(parameter.data, 0)

    def average(self, tensors):
        for tensor in tensors:
            dist.reduce(tensor, 0)
            tensor /= self.size

    def leave(self):
        dist.barrier()
        dist.destroy_process_group()


def validate(model, pairs, wins, group):
    with torch.no_grad():
        right = ((model(pairs) > 0) == wins.bool()).float().mean()
    group.average([right])
    return right.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    group = Group()
    pairs, wins = matches(args.seed)
    mine = torch.arange(512 * group.size)[group.rank::group.size]
    unseen = slice(-400, None)

    model = Duel()
    group.share(model)
    optimizer = torch.optim.RAdam(model.parameters(), lr=0.05)
    scheduler = ExponentialLR(optimizer, gamma=0.8)
    for epoch in range(args.epochs):
        for index in mine[torch.randperm(len(mine))].split(64):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(pairs[index]), wins[index])
            loss.backward()
            group.average([parameter.grad for parameter in model.parameters()])
            optimizer.step()
        scheduler.step()
        right = validate(model, pairs[unseen], wins[unseen], group)
        if group.rank == 0:
            print(f"epoch {epoch + 1}: loss {loss.item():.4f}, right {right:.3f}", flush=True)
    group.leave()


if __name__ == "__main__":
    main()
