"""DistributedDataParallel on ranks with different numbers of batches: who has none left still answers the others."""

import torch
import torch.nn.functional as F
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

from job import batches, begin, blobs, end, network, options, say

args = options(fewer=1)
rank, ranks = begin(args)
model = network()
parallel = DistributedDataParallel(model, bucket_cap_mb=0.002)
optimizer = torch.optim.SGD(parallel.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
with Join([parallel]):
    for step in range(args.steps - (args.fewer if rank == ranks - 1 else 0)):
        optimizer.zero_grad()
        inputs, labels = next(stream)
        loss = F.cross_entropy(parallel(inputs), labels)
        loss.backward()
        optimizer.step()
        say(f"loss {rank} {step} {loss.item()!r}")
end()
