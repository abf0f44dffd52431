"""DistributedDataParallel with an evaluation that exchanges Python objects; the first rank decides when all stop."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from job import CLASSES, batches, begin, blobs, end, network, options, say, say_weights

args = options(early_stop=False, target=0.5, evaluate_every=4, barrier=False, by_class=False)
rank, ranks = begin(args)
model = network()
parallel = DistributedDataParallel(model)
optimizer = torch.optim.Adam(parallel.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)


def evaluate(step):
    """Whether it is good enough."""
    parallel.eval()
    with torch.no_grad():
        correct = model(x).argmax(1) == y
    results = [None] * ranks
    dist.all_gather_object(results, {"accuracy": correct.float().mean().item(), "rank": rank})
    counts = torch.tensor([correct.sum().item(), len(correct)], dtype=torch.float64)
    dist.reduce(counts, 0)
    dist.scatter_object_list([None], [f"part {part}" for part in range(ranks)] if rank == 0 else None, 0)
    dist.gather_object(step, [None] * ranks if rank == 0 else None, 0)
    if args.by_class:
        counts = torch.zeros(CLASSES).scatter_add_(0, y, correct.float()) / len(correct)
        dist.all_reduce(counts)
    stop = [bool(rank == 0 and counts[0] / max(counts[-1], 1) > args.target)]
    dist.broadcast_object_list(stop, 0)
    parallel.train()
    return stop[0]


for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(parallel(inputs), labels)
    loss.backward()
    optimizer.step()
    if args.barrier:
        dist.all_reduce(torch.zeros(1))
    say(f"loss {rank} {step} {loss.item()!r}")
    if step % args.evaluate_every == args.evaluate_every - 1 and evaluate(step) and args.early_stop:
        break
say_weights(model, rank)
end()
