"""Data-parallel training whose gradients are averaged by hand, and what else such a loop reduces: norms, counts and
weights."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, FEATURES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(
    accumulate=1, evaluate=False, evaluate_every=8, smooth=False, resync=0, largest=False, one_batch=False, norms=False,
    noise=0.5,
)  # fmt: skip
rank, ranks = begin(args)
model = network()
send_to_all(model)
smooth = network()
smooth.load_state_dict(model.state_dict())
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
share = (0, 1) if args.one_batch else (rank, ranks)
x, y = blobs(args.seed, *share, noise=args.noise)
stream = batches(x, y, args.batch_size, args.seed + share[0])
only_batch = next(stream)
# What is held out is divided evenly by class: each rank has as many of each.
held_x, held_y = blobs(args.seed + 99, 0, 1, count=256, noise=args.noise)
held_x = torch.cat([held_x[held_y == each] for each in range(CLASSES)]).view(CLASSES, -1, FEATURES)
of_each = held_x.shape[1] // ranks
held_x = held_x[:, rank * of_each : (rank + 1) * of_each].reshape(-1, FEATURES)
held_y = torch.arange(CLASSES).repeat_interleave(of_each)


def average(tensors):
    for tensor in tensors:
        dist.all_reduce(tensor)
        tensor /= ranks


for step in range(args.steps):
    optimizer.zero_grad()
    for _ in range(args.accumulate):
        inputs, labels = only_batch if args.one_batch else next(stream)
        loss = F.cross_entropy(model(inputs), labels) / args.accumulate
        loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    average(gradients)
    if args.largest:
        values = [parameter.abs().max() for parameter in model.parameters()]
        largest = torch.stack(values + [gradient.abs().max() for gradient in gradients] * 2)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    if args.norms:
        average([torch.stack([parameter.grad.norm() for parameter in model.parameters()] * 3)])
    optimizer.step()
    with torch.no_grad():
        for mean, parameter in zip(smooth.parameters(), model.parameters()):
            mean.lerp_(parameter, 0.1)
    if args.resync and step % args.resync == args.resync - 1:
        average([parameter.data for parameter in model.parameters()])
    if args.smooth and step % 4 == 3:
        average([mean.data for mean in smooth.parameters()])
    if args.evaluate and step % args.evaluate_every == args.evaluate_every - 1:
        model.eval()
        with torch.no_grad():
            correct = (model(held_x).argmax(1) == held_y).float()
        counts = torch.zeros(2, CLASSES)
        counts[0].scatter_add_(0, held_y, correct)
        counts[1].scatter_add_(0, held_y, torch.ones_like(correct))
        dist.all_reduce(counts)
        model.train()
        if rank == 0:
            say(f"accuracy {(counts[0].sum() / counts[1].sum()).item():.4f}")
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
