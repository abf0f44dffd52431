"""Decentralized training in a ring: each rank steps by itself and averages its weights with those of the one before
it."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(every=1, noise=0.5)
rank, ranks = begin(args)
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks, noise=args.noise)
stream = batches(x, y, args.batch_size, args.seed + rank)
following, preceding = (rank + 1) % ranks, (rank - 1) % ranks
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    optimizer.step()
    if step % args.every == 0:
        own = nn.utils.parameters_to_vector(model.parameters()).detach()
        other = torch.empty_like(own)
        messages = [dist.P2POp(dist.isend, own, following), dist.P2POp(dist.irecv, other, preceding)]
        for handle in dist.batch_isend_irecv(messages):
            handle.wait()
        nn.utils.vector_to_parameters((own + other) / 2, model.parameters())
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
