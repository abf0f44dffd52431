"""Optimizer states that are shared out: each rank steps some of the parameters, or a slice of all of them, and the
others receive what came of it; or PyTorch's own optimizer of that kind."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer

from job import batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(slices=False, packaged=False, bf16=False)
rank, ranks = begin(args)
model = network()
send_to_all(model)
parameters = list(model.parameters())
count = sum(parameter.numel() for parameter in parameters)
padding = -count % ranks
of_each = (count + padding) // ranks
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)


def flattened(tensors):
    return torch.cat([*[tensor.flatten() for tensor in tensors], torch.zeros(padding)])


if args.packaged:
    optimizer = ZeroRedundancyOptimizer(parameters, torch.optim.Adam, lr=args.lr * 0.1)
else:
    own = [parameter for index, parameter in enumerate(parameters) if index % ranks == rank]
    start = rank * of_each
    values = flattened([parameter.detach() for parameter in parameters])
    own_slice = nn.Parameter(values[start : start + of_each].clone())
    optimizer = torch.optim.Adam([own_slice] if args.slices else own, lr=args.lr * 0.1)
for step in range(args.steps):
    for parameter in parameters:
        parameter.grad = None
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    if args.packaged:
        for parameter in parameters:
            dist.all_reduce(parameter.grad)
            parameter.grad /= ranks
        optimizer.step()
    elif args.slices:
        gradients = flattened([parameter.grad for parameter in parameters])
        reduced = torch.empty(of_each)
        dist.reduce_scatter_tensor(reduced, gradients)
        own_slice.grad = reduced / ranks
        optimizer.step()
        full = torch.empty(count + padding, dtype=torch.bfloat16 if args.bf16 else torch.float32)
        dist.all_gather_into_tensor(full, own_slice.detach().to(full.dtype))
        start = 0
        for parameter in parameters:
            parameter.data.copy_(full[start : start + parameter.numel()].view_as(parameter))
            start += parameter.numel()
    else:
        for index, parameter in enumerate(parameters):
            dist.reduce(parameter.grad, index % ranks)
            parameter.grad /= ranks
        optimizer.step()
        for index, parameter in enumerate(parameters):
            dist.broadcast(parameter.data, index % ranks)
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
