"""DistributedDataParallel with a hook that reduces and divides by itself, in place or not, or with none; gradients can
be views of its buckets."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from job import batches, begin, blobs, end, network, options, say, say_weights

args = options(hook="none", views=False, width=32)
rank, ranks = begin(args)
model = network(args.width)
parallel = DistributedDataParallel(model, gradient_as_bucket_view=args.views)


def divide_in_place(state, bucket):
    future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda reduced: reduced.value()[0].div_(ranks))


def divide(state, bucket):
    future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda reduced: reduced.value()[0] / ranks)


if args.hook != "none":
    parallel.register_comm_hook(None, {"in-place": divide_in_place, "divided": divide}[args.hook])
optimizer = torch.optim.SGD(parallel.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(parallel(inputs), labels)
    loss.backward()
    if args.views:
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
    optimizer.step()
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
