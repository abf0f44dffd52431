"""DistributedDataParallel with accumulation, unused parameters, checkpoints, and hooks that compress what is sent."""

import contextlib

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from job import CLASSES, FEATURES, batches, begin, blobs, end, network, options, say, say_weights

args = options(
    accumulate=1, evaluate=False, hook="none", save=False, resume=False, large=False, unused=False, static=False
)
rank, ranks = begin(args)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = network(400 if args.large else 32)
        self.extra = nn.Linear(FEATURES, CLASSES)
        self.norm = nn.BatchNorm1d(FEATURES)

    def forward(self, x, with_extra):
        x = self.norm(x)
        y = self.body(x)
        return y + self.extra(x) if with_extra else y


model = Classifier()
if args.resume:
    model.load_state_dict(torch.load("model.pt"))
parallel = DistributedDataParallel(model, find_unused_parameters=args.unused, static_graph=args.static)
if args.hook == "fp16":
    parallel.register_comm_hook(None, default_hooks.fp16_compress_hook)
elif args.hook == "bf16":
    parallel.register_comm_hook(None, default_hooks.bf16_compress_hook)
elif args.hook == "powersgd":
    state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=4)
    parallel.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
optimizer = torch.optim.AdamW(parallel.parameters(), lr=args.lr * 0.1)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    for part in range(args.accumulate):
        inputs, labels = next(stream)
        with contextlib.nullcontext() if part == args.accumulate - 1 else parallel.no_sync():
            with_extra = not args.unused or step % 3 != 2
            loss = F.cross_entropy(parallel(inputs, with_extra), labels) / args.accumulate
            loss.backward()
    optimizer.step()
    if args.evaluate and step % 5 == 4:
        parallel.eval()
        with torch.no_grad():
            of_all = F.cross_entropy(model(x, True), y)
        dist.reduce(torch.stack([of_all, torch.tensor(float(len(x)))]), 0)
        parallel.train()
    say(f"loss {rank} {step} {loss.item()!r}")
if args.save and rank == 0:
    torch.save(model.state_dict(), "model.pt")
say_weights(model, rank)
end()
