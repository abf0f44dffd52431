"""Contrastive learning: each row is told from those of all ranks, whose embeddings are gathered with gradients."""

import torch
import torch.distributed as dist
import torch.distributed.nn.functional
import torch.nn.functional as F
from torch import nn

from job import FEATURES, batches, begin, blobs, end, options, say, say_weights, send_to_all

args = options(center=False)
rank, ranks = begin(args)
encoder = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 16))
send_to_all(encoder)
optimizer = torch.optim.Adam(encoder.parameters(), lr=args.lr * 0.1)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
generator = torch.Generator().manual_seed(args.seed * 7 + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, _ = next(stream)
    views = [encoder(inputs + 0.1 * torch.randn(inputs.shape, generator=generator)) for _ in range(2)]
    if args.center:
        mean = dist.nn.functional.all_reduce(torch.cat(views).mean(0)) / ranks
        views = [view - mean for view in views]
    views = [F.normalize(view, dim=1) for view in views]
    of_all = [torch.cat(dist.nn.functional.all_gather(view.contiguous())) for view in views]
    own = torch.arange(args.batch_size) + rank * args.batch_size
    loss = F.cross_entropy(views[0] @ of_all[1].t() / 0.2, own)
    loss.backward()
    for parameter in encoder.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks
    optimizer.step()
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(encoder, rank)
end()
