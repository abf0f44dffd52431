"""Gradients averaged while the backward pass goes on: hooks begin a reduction for every few of them, and all are waited
for before the step."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(large=False, last_first=False, bucket=2, gather=False, log_every=1)
rank, ranks = begin(args)
model = network(300 if args.large else 32)
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
ready, begun, logged = [], [], []
# Every other reduction goes through a group of its own.
other = dist.new_group()


def reduce_ready():
    if not ready:
        return
    parameters = list(ready)
    ready.clear()
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    group = dist.group.WORLD if len(begun) % 2 else other
    begun.append((dist.all_reduce(flat, async_op=True, group=group), flat, parameters))


def accumulated(parameter):
    ready.append(parameter)
    if len(ready) >= args.bucket:
        reduce_ready()


for parameter in model.parameters():
    parameter.register_post_accumulate_grad_hook(accumulated)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    reduce_ready()
    gathered = [torch.empty(args.batch_size, CLASSES) for _ in range(ranks)]
    if args.gather:
        gathering = dist.all_gather(gathered, model(inputs).detach(), async_op=True)
    for handle, flat, parameters in reversed(begun) if args.last_first else begun:
        handle.wait()
        start = 0
        for parameter in parameters:
            parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter) / ranks)
            start += parameter.numel()
    begun.clear()
    losses = torch.stack([loss.detach()])
    logged.append((dist.all_reduce(losses, async_op=True), losses))
    if step % args.log_every == args.log_every - 1:
        for handle, _ in logged:
            handle.wait()
        logged.clear()
    optimizer.step()
    if args.gather:
        gathering.wait()
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
