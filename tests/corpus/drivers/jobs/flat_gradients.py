"""Gradients averaged by hand in one vector, in a network with batch normalization whose statistics can be averaged,
too."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import CLASSES, FEATURES, batches, begin, blobs, end, options, say, say_weights, send_to_all

args = options(clip=False, average_statistics=False, same_batch=0)
rank, ranks = begin(args)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(FEATURES, 32)
        self.norm = nn.BatchNorm1d(32)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.body(x))))


model = Classifier()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
all_x, all_y = blobs(args.seed, 0, 1)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    if step < args.same_batch:
        inputs, labels = all_x[: args.batch_size], all_y[: args.batch_size]
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    flat = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    reduced = flat.clone()
    dist.all_reduce(reduced)
    mean = reduced / ranks
    start = 0
    for parameter in model.parameters():
        parameter.grad.copy_(mean[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    if args.clip:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if args.average_statistics:
        for statistic in model.buffers():
            if statistic.is_floating_point():
                dist.all_reduce(statistic)
                statistic /= ranks
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
