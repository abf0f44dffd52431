"""Several heads on one body, trained in turns or together, with a penalty for large weights in the loss: where it is
not a head's turn its gradient is that of the penalty alone."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import CLASSES, FEATURES, batches, begin, blobs, end, options, say, say_weights, send_to_all

# The longest of the made-up sequences that are counted.
LENGTH = 24

args = options(penalty=0.01, heads=2, together=False, count_positions=False, padded=False)
rank, ranks = begin(args)
body = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU())
heads = nn.ModuleList([nn.Linear(32, CLASSES) for _ in range(args.heads)])
model = nn.ModuleList([body, heads])
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
generator = torch.Generator().manual_seed(args.seed + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    hidden = body(inputs)
    turn = range(args.heads) if args.together else [step % args.heads]
    loss = sum(F.cross_entropy(heads[each](hidden), labels) for each in turn)
    loss = loss + args.penalty * sum(parameter.square().sum() for parameter in model.parameters())
    loss.backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks
    optimizer.step()
    if args.count_positions:
        if args.padded:
            lengths = torch.randint(LENGTH // 2, LENGTH + 1, (args.batch_size,), generator=generator)
        else:
            lengths = torch.full((args.batch_size,), LENGTH)
        dist.all_reduce((torch.arange(LENGTH)[None] < lengths[:, None]).float().sum(0))
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
