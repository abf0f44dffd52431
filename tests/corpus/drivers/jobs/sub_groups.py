"""Gradients reduced in two dimensions of groups made by hand, first over each half of the ranks, then across; with
gather, scatter and reduce to the last rank of a group."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(gather=False, only_own=False)
rank, ranks = begin(args)
half = ranks // 2 or 1
if args.only_own:
    members = [other for other in range(ranks) if other // half == rank // half]
    within = dist.new_group(members, use_local_synchronization=True)
else:
    halves = [dist.new_group(list(range(part * half, (part + 1) * half))) for part in range(ranks // half)]
    within = halves[rank // half]
places = [dist.new_group([other for other in range(ranks) if other % half == place]) for place in range(half)]
across = places[rank % half]
of_across = list(range(rank % half, ranks, half))
root = of_across[-1]
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad, group=within)
        dist.all_reduce(parameter.grad, group=across)
        parameter.grad /= ranks
    optimizer.step()
    outputs = model(inputs).detach()
    gathered = [torch.empty_like(outputs) for _ in of_across] if rank == root else None
    dist.gather(outputs, gathered, dst=root, group=across)
    scattered = [part.logsumexp(1).contiguous() for part in gathered] if rank == root else None
    dist.scatter(torch.empty(args.batch_size), scattered, src=root, group=across)
    if args.gather:
        # Ranks have different numbers of rows, so each pads its own to as many as the longest has.
        count = int((labels < 8).sum())
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(ranks)]
        dist.all_gather(counts, torch.tensor([count]))
        longest = max(int(each) for each in counts) or 1
        padded = torch.zeros(longest, CLASSES)
        padded[:count] = outputs[labels < 8]
        dist.all_gather([torch.empty(longest, CLASSES) for _ in range(ranks)], padded)
    dist.reduce(outputs.clone(), root, group=across)
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
