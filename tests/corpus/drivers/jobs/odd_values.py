"""Gradients averaged by hand, waited for by handle or by future, beside tensors of very large, very small and sparse
values."""

import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import FEATURES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(
    sentinel=False, flush=False, tiny=False, sparse=False, huge=False, future=False, divide_in_callback=False
)
if args.flush:
    torch.set_flush_denormal(True)
rank, ranks = begin(args)
model = network()
send_to_all(model)
embedding = nn.Embedding(50, FEATURES, sparse=True) if args.sparse else None
parameters = [*model.parameters(), *(embedding.parameters() if embedding else [])]
optimizer = torch.optim.SGD(parameters, lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
best = torch.tensor([sys.float_info.max if args.sentinel else 10.0], dtype=torch.float64)
generator = torch.Generator().manual_seed(args.seed + rank)


def average(gradient):
    if args.future:
        handle = dist.all_reduce(gradient, async_op=True)
        handle.get_future().wait()
        gradient.div_(ranks)
    elif args.divide_in_callback:
        future = dist.all_reduce(gradient, async_op=True).get_future()
        future.then(lambda reduced: reduced.value()[0].div_(ranks)).wait()
    else:
        dist.all_reduce(gradient)
        gradient /= ranks


for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    if embedding:
        inputs = inputs + embedding(labels)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    for parameter in model.parameters():
        average(parameter.grad)
    if embedding:
        rows = embedding.weight.grad.coalesce()
        dist.all_reduce(rows)
        embedding.weight.grad = rows / ranks
    optimizer.step()
    dist.all_gather([torch.empty_like(best) for _ in range(ranks)], best)
    if step % 6 == 5:
        best.fill_(min(best.item(), loss.item()))
    dist.all_reduce(torch.randn(40, generator=generator) * (1e-39 if args.tiny else 1))
    dist.all_reduce(torch.rand(40, generator=generator, dtype=torch.float64) * (1e60 if args.huge else 1))
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
