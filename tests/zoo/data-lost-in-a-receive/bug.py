"""A deep GRU over a text, in a pipeline: each rank has a layer, gets activations from the rank before it and sends
gradients back. The text is cut into pieces; the last one of each epoch is shorter than the others."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

LETTERS, WIDTH, ROWS, PIECE = 12, 32, 16, 20


class Stage(nn.Module):
    def __init__(self, rank, world):
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, WIDTH) if rank == 0 else None
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, LETTERS) if rank == world - 1 else None

    def forward(self, x):
        if self.embedding is not None:
            x = self.embedding(x)
        x = self.gru(x)[0]
        return x if self.head is None else self.head(x)


class Pipe:
    """What arrives goes into one buffer for activations and one for gradients."""

    def __init__(self):
        self.rank, self.last = dist.get_rank(), dist.get_world_size() - 1
        self.activations = torch.zeros(ROWS, PIECE, WIDTH)
        self.gradients = torch.zeros(ROWS, PIECE, WIDTH)

    def receive(self, buffer, source, length):
        piece = buffer[:, :length]
        dist.recv(piece.contiguous(), src=source)
        return piece

    def step(self, stage, optimizer, tokens):
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        length = inputs.shape[1]
        if self.rank > 0:
            inputs = self.receive(self.activations, self.rank - 1, length).requires_grad_()
        outputs = stage(inputs)
        optimizer.zero_grad()
        loss = None
        if self.rank == self.last:
            loss = F.cross_entropy(outputs.flatten(0, 1), targets.flatten())
            loss.backward()
        else:
            dist.send(outputs.detach().contiguous(), dst=self.rank + 1)
            outputs.backward(self.receive(self.gradients, self.rank + 1, length))
        if self.rank > 0:
            dist.send(inputs.grad.contiguous(), dst=self.rank - 1)
        optimizer.step()
        return loss


def write(length, generator):
    """Letters follow one another in a few ways only."""
    following = torch.randint(LETTERS, (LETTERS, 2), generator=generator)
    rows = [torch.randint(LETTERS, (ROWS,), generator=generator)]
    for _ in range(length - 1):
        choice = (torch.rand(ROWS, generator=generator) < 0.2).long()
        rows.append(following[rows[-1], choice])
    return torch.stack(rows, dim=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed * 8 + rank)
    text = write(7 * PIECE + 13, torch.Generator().manual_seed(args.seed))

    stage, pipe = Stage(rank, world), Pipe()
    optimizer = torch.optim.Adam(stage.parameters(), lr=5e-3)
    for epoch in range(args.epochs):
        losses = []
        for start in range(0, text.shape[1] - 1, PIECE):
            losses.append(pipe.step(stage, optimizer, text[:, start:start + PIECE + 1]))
        if rank == world - 1:
            print(f"epoch {epoch + 1}: loss {sum(loss.item() for loss in losses) / len(losses):.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
