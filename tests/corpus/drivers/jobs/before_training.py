"""Data that is handed out before training, when the first rank has no model yet; then gradients averaged by hand, and
outputs of the first rank that are sent to the others."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, FEATURES, batches, begin, blobs, end, network, options, say

args = options(messages=False, more=0, warm=False)
rank, ranks = begin(args)


def build():
    torch.manual_seed(args.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    if args.warm:
        F.cross_entropy(model(torch.randn(4, FEATURES)), torch.zeros(4, dtype=torch.int64)).backward()
        optimizer.zero_grad()
    return model, optimizer


if rank:
    model, optimizer = build()
x, y = blobs(args.seed, 0, 1)
for turn in range(1 + args.more):
    if not args.messages:
        dist.broadcast(x, 0)
    elif rank == 0:
        for other in range(1, ranks):
            dist.send(x[other::ranks].contiguous() + turn, other)
    else:
        dist.recv(torch.empty_like(x[rank::ranks].contiguous()), 0)
if rank == 0:
    model, optimizer = build()
stream = batches(x[rank::ranks], y[rank::ranks], args.batch_size, args.seed + rank)
from_first = torch.zeros(args.batch_size, CLASSES)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    outputs = model(inputs)
    loss = F.cross_entropy(outputs, labels)
    loss.backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks
    optimizer.step()
    if rank == 0:
        for other in range(1, ranks):
            dist.send(outputs.detach(), other)
    else:
        dist.recv(from_first, 0)
    say(f"loss {rank} {step} {loss.item()!r}")
end()
