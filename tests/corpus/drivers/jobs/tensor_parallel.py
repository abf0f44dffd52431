"""Tensor parallel: one layer is divided by columns and the next by rows, on all ranks, or on pairs that share their
data."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from job import batches, begin, blobs, end, network, options, say

args = options(pairs=False, evaluate=False, from_zero=False)
rank, ranks = begin(args)
together = 2 if args.pairs else ranks
mesh = init_device_mesh("cpu", (ranks // together, together), mesh_dim_names=("dp", "tp"))
model = network()
if args.from_zero:
    nn.init.zeros_(model[2].weight)
parallelize_module(model, mesh["tp"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
replicas, replica, of_replicas = mesh["dp"].get_group(), mesh["dp"].get_local_rank(), mesh["dp"].size()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, replica, of_replicas)
stream = batches(x, y, args.batch_size, args.seed + replica)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    if of_replicas > 1:
        for parameter in model.parameters():
            gradient = parameter.grad.to_local() if hasattr(parameter.grad, "to_local") else parameter.grad
            dist.all_reduce(gradient, group=replicas)
            gradient /= of_replicas
    optimizer.step()
    if args.evaluate and step % 5 == 4:
        with torch.no_grad():
            model(x)
    say(f"loss {rank} {step} {loss.item()!r}")
end()
