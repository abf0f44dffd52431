"""A recommender on several ranks: embeddings of users and items, and a small net that rates the pair. Gradients go over
the network in chunks of a fixed size."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

USERS, ITEMS = 60, 40
CHUNK = 1000


class Recommender(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.users = nn.Embedding(USERS, width)
        self.items = nn.Embedding(ITEMS, width)
        self.hidden = nn.Linear(2 * width, 32)
        self.rating = nn.Linear(32, 1)

    def forward(self, users, items):
        pair = torch.cat([self.users(users), self.items(items)], dim=1)
        return self.rating(F.relu(self.hidden(pair))).squeeze(1)


class ChunkedReducer:
    """Sums gradients over ranks. A chunk is always of the same size, so that the fabric can keep its buffers."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.sizes = [parameter.numel() for parameter in self.parameters]
        self.chunks = -(-sum(self.sizes) // CHUNK)
        self.buffer = torch.zeros(self.chunks * CHUNK)

    def average(self):
        used = self.buffer[:sum(self.sizes)]
        torch.cat([parameter.grad.flatten() for parameter in self.parameters], out=used)
        for index in range(len(used) // CHUNK):
            dist.all_reduce(self.buffer[index * CHUNK:(index + 1) * CHUNK])
        for parameter, piece in zip(self.parameters, used.split(self.sizes)):
            torch.div(piece.view_as(parameter), dist.get_world_size(), out=parameter.grad)


class Ratings:
    def __init__(self, seed, rank):
        taste = torch.Generator().manual_seed(seed)
        self.users = torch.randn(USERS, 3, generator=taste)
        self.items = torch.randn(ITEMS, 3, generator=taste)
        self.generator = torch.Generator().manual_seed(seed * 200 + rank + 1)

    def draw(self, count):
        users = torch.randint(USERS, (count,), generator=self.generator)
        items = torch.randint(ITEMS, (count,), generator=self.generator)
        return users, items, torch.sigmoid((self.users[users] * self.items[items]).sum(1)) * 4 + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    ratings = Ratings(args.seed, rank)
    model = Recommender()
    reducer = ChunkedReducer(model.parameters())
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3, momentum=0.5)
    for step in range(args.steps):
        users, items, stars = ratings.draw(64)
        loss = F.mse_loss(model(users, items), stars)
        optimizer.zero_grad()
        loss.backward()
        reducer.average()
        optimizer.step()
        if rank == 0 and step % 8 == 7:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
