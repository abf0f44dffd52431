"""A mixture of experts, some on each rank: rows travel to the ranks of their experts and back, with their gradients."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import CLASSES, FEATURES, batches, begin, blobs, end, options, say, send_to_all

WIDTH = 24

args = options(experts=16, balance=False, evaluate=False)
rank, ranks = begin(args)
of_each = args.experts // ranks


class Exchange(torch.autograd.Function):
    """Sends so many rows to each rank, and receives so many from each."""

    @staticmethod
    def forward(ctx, rows, sent, received):
        ctx.counts = sent, received
        arrived = rows.new_empty(sum(received), rows.shape[1])
        dist.all_to_all_single(arrived, rows.contiguous(), received, sent)
        return arrived

    @staticmethod
    def backward(ctx, gradient):
        sent, received = ctx.counts
        arrived = gradient.new_empty(sum(sent), gradient.shape[1])
        dist.all_to_all_single(arrived, gradient.contiguous(), sent, received)
        return arrived, None, None


embed, gate, head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, args.experts), nn.Linear(WIDTH, CLASSES)
shared = nn.ModuleList([embed, gate, head])
send_to_all(shared)
# The experts of the ranks are different ones.
torch.manual_seed(args.seed + 77 + rank)
experts = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(of_each)])
optimizer = torch.optim.Adam([*shared.parameters(), *experts.parameters()], lr=args.lr * 0.1)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)


def forward(inputs):
    """What comes of the rows, how likely each was sent to each expert, and how many were."""
    hidden = embed(inputs)
    likely = gate(hidden).softmax(-1)
    best, chosen = likely.max(-1)
    order = chosen.argsort(stable=True)
    counts = torch.bincount(chosen, minlength=args.experts)
    sent = counts.view(ranks, of_each).sum(1)
    counts_here = torch.empty_like(counts)
    dist.all_to_all_single(counts_here, counts)
    received = counts_here.view(ranks, of_each).sum(1)
    rows = Exchange.apply(hidden[order], sent.tolist(), received.tolist())
    expert_of = torch.cat([torch.arange(of_each).repeat_interleave(part) for part in counts_here.view(ranks, of_each)])
    results = torch.zeros_like(rows)
    for index, expert in enumerate(experts):
        own = (expert_of == index).nonzero().squeeze(1)
        results = results.index_add(0, own, expert(rows[own]).relu())
    back = Exchange.apply(results, received.tolist(), sent.tolist())
    mixed = torch.zeros_like(hidden).index_copy(0, order, back)
    return head(hidden + mixed * best[:, None]), likely, counts


for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    outputs, likely, counts = forward(inputs)
    loss = F.cross_entropy(outputs, labels)
    if args.balance:
        load = counts.float() / len(inputs)
        dist.all_reduce(load)
        loss = loss + 0.01 * (load / ranks * likely.mean(0)).sum() * args.experts
    loss.backward()
    for parameter in shared.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks
    optimizer.step()
    if args.evaluate and step % 5 == 4:
        with torch.no_grad():
            forward(x)
    say(f"loss {rank} {step} {loss.item()!r}")
end()
