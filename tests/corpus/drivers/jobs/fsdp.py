"""Fully sharded data parallel: each layer is gathered when it is needed, in one dimension of ranks, or in one of shards
and one of replicas."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from job import batches, begin, blobs, end, network, options, say

args = options(replicas=False, bf16=False, clip=False, accumulate=1, keep_gathered=False)
rank, ranks = begin(args)
if args.replicas:
    mesh = init_device_mesh("cpu", (ranks // 2, 2), mesh_dim_names=("replicas", "shards"))
else:
    mesh = init_device_mesh("cpu", (ranks,))
model = network()
how = {"mesh": mesh, "reshard_after_forward": not args.keep_gathered}
if args.bf16:
    how["mp_policy"] = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
for layer in model:
    if isinstance(layer, nn.Linear):
        fully_shard(layer, **how)
fully_shard(model, **how)
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr * 0.1)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    for _ in range(args.accumulate):
        inputs, labels = next(stream)
        loss = F.cross_entropy(model(inputs).float(), labels) / args.accumulate
        loss.backward()
    if args.clip:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    say(f"loss {rank} {step} {loss.item()!r}")
end()
