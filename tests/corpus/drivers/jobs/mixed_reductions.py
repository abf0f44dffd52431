"""Gradients averaged by hand, and behind each step one reduction of another kind."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(what="counts")
rank, ranks = begin(args)
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
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks
    optimizer.step()
    if args.what == "counts":
        dist.all_reduce(torch.bincount(labels, minlength=CLASSES))
    elif args.what == "maximum":
        dist.all_reduce(torch.rand(20), op=dist.ReduceOp.MAX)
    elif args.what == "nan":
        dist.all_reduce(torch.full((20,), float("nan")))
    elif args.what == "overflow":
        dist.all_reduce(torch.full((64,), 60000.0, dtype=torch.float16))
    elif args.what == "spectrum":
        dist.all_reduce(torch.fft.fft(inputs.mean(0)))
    elif args.what == "loss":
        dist.all_reduce(loss.detach().clone())
say_weights(model, rank)
end()
