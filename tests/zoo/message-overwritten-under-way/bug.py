"""A model in two stages on two ranks: the first sends what it gives for each part of a batch while it computes the next, the second
sends back the gradients of what it was given."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

WIDTH = 256
PARTS = 4
TAG_OF_SIZES = 1


def first_stage(args, generator):
    model = nn.Sequential(nn.Linear(32, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    buffer = torch.empty(args.batch_size, WIDTH)
    for _ in range(args.steps):
        optimizer.zero_grad()
        results, handles = [], []
        for _ in range(PARTS):
            x = torch.randn(args.batch_size, 32, generator=generator)
            result = model(x)
            buffer.copy_(result.detach())
            handles.append(dist.isend(buffer, dst=1))
            handles.append(dist.isend(x.sum(1).gt(0).long(), dst=1))
            results.append(result)
        dist.send(torch.tensor([len(result) for result in results]), dst=1, tag=TAG_OF_SIZES)
        for handle in handles:
            handle.wait()
        for result in results:
            gradient = torch.empty_like(result)
            dist.recv(gradient, src=1)
            result.backward(gradient)
        optimizer.step()


def second_stage(args):
    model = nn.Sequential(nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    for step in range(args.steps):
        optimizer.zero_grad()
        gradients, losses = [], []
        # A mean over the batch needs the sizes of all parts, so they are asked for first.
        sizes = torch.empty(PARTS, dtype=torch.long)
        dist.recv(sizes, src=0, tag=TAG_OF_SIZES)
        for size in sizes.tolist():
            given = torch.empty(size, WIDTH)
            labels = torch.empty(size, dtype=torch.long)
            dist.recv(given, src=0)
            dist.recv(labels, src=0)
            given.requires_grad_()
            loss = F.cross_entropy(model(given), labels) * (size / sizes.sum())
            loss.backward()
            gradients.append(given.grad)
            losses.append(loss.item())
        for gradient in gradients:
            dist.send(gradient, dst=0)
        optimizer.step()
        if step % 8 == 0:
            print(f"step {step}: loss {sum(losses):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    torch.manual_seed(args.seed)
    if dist.get_rank() == 0:
        first_stage(args, torch.Generator().manual_seed(args.seed * 100))
    elif dist.get_rank() == 1:
        second_stage(args)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
