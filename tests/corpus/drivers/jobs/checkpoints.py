"""Fully sharded data parallel with distributed checkpoints, which are written while training goes on or by all at
once."""

import torch
import torch.distributed as dist
import torch.distributed.checkpoint
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import fully_shard

from job import batches, begin, blobs, end, network, options, say

args = options(save_every=0, wait=False, resume=False)
rank, ranks = begin(args)
model = network()
for layer in model:
    if isinstance(layer, nn.Linear):
        fully_shard(layer)
fully_shard(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
if args.resume:
    dist.checkpoint.load({"model": model.state_dict()}, checkpoint_id="checkpoint")
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
# What is written meanwhile must not come between the collectives of training.
of_checkpoints, writing = dist.new_group(), None
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    optimizer.step()
    if args.save_every and step % args.save_every == args.save_every - 1:
        if writing:
            writing.result()
        states = {"model": model.state_dict()}
        if args.wait:
            dist.checkpoint.save(states, checkpoint_id="checkpoint")
        else:
            writing = dist.checkpoint.async_save(states, checkpoint_id="checkpoint", process_group=of_checkpoints)
    say(f"loss {rank} {step} {loss.item()!r}")
if writing:
    writing.result()
end()
