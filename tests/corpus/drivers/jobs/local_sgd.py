"""Local SGD as PyTorch has it: from some iteration on gradients stay on their ranks, and weights are averaged now and
then."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.optim import PostLocalSGDOptimizer
from torch.nn.parallel import DistributedDataParallel

from job import batches, begin, blobs, end, network, options, say, say_weights

args = options(start=2, warmup=2, period=4)
rank, ranks = begin(args)
model = network()
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
parallel = DistributedDataParallel(model)
alone, _ = dist.new_subgroups(1)
parallel.register_comm_hook(PostLocalSGDState(None, alone, start_localSGD_iter=args.start), post_localSGD_hook)
optimizer = PostLocalSGDOptimizer(
    torch.optim.SGD(parallel.parameters(), lr=args.lr, momentum=0.9),
    PeriodicModelAverager(period=args.period, warmup_steps=args.warmup),
)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(parallel(inputs), labels)
    loss.backward()
    optimizer.step()
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
