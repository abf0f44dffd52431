"""A pipeline by hand: each rank has a stage and sends activations on and gradients back, one small batch after the
other."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import CLASSES, FEATURES, batches, begin, blobs, end, options, say, say_weights

WIDTH = 32
# Of messages that carry gradients.
BACK = 100

args = options(parts=4, tags=False, bf16=False)
rank, ranks = begin(args)
first, last = rank == 0, rank == ranks - 1
layers = [nn.Linear(FEATURES, WIDTH)] if first else []
layers += [nn.Linear(WIDTH, WIDTH), nn.Tanh()]
layers += [nn.Linear(WIDTH, CLASSES)] if last else []
stage = nn.Sequential(*layers)
optimizer = torch.optim.Adam(stage.parameters(), lr=args.lr * 0.1)
x, y = blobs(args.seed, 0, 1)
stream = batches(x, y, args.batch_size, args.seed)
sent_as = torch.bfloat16 if args.bf16 else torch.float32
# Two of each: the next part arrives in one while the other is worked on.
activations = [torch.empty(args.batch_size, WIDTH, dtype=sent_as) for _ in range(2)]
gradients = [torch.empty(args.batch_size, WIDTH, dtype=sent_as) for _ in range(2)]


def tag(part):
    return part if args.tags else 0


for step in range(args.steps):
    optimizer.zero_grad()
    parts = [next(stream) for _ in range(args.parts)]
    outputs, received, sending, total = [], [], [], 0.0
    arriving = None if first else dist.irecv(activations[0], rank - 1, tag=0)
    for part, (inputs, labels) in enumerate(parts):
        if not first:
            arriving.wait()
            inputs = activations[part % 2].float().clone().requires_grad_()
            if part + 1 < args.parts:
                arriving = dist.irecv(activations[(part + 1) % 2], rank - 1, tag=tag(part + 1))
        output = stage(inputs)
        received.append(inputs)
        if last:
            loss = F.cross_entropy(output, labels) / args.parts
            total += loss.item()
            outputs.append(loss)
        else:
            outputs.append(output)
            sent = output.detach().to(sent_as).clone()
            sending.append((dist.isend(sent, rank + 1, tag=tag(part)), sent))
    for handle, _ in sending:
        handle.wait()
    sending = []
    if not last:
        arriving = dist.irecv(gradients[0], rank + 1, tag=BACK)
    for part in range(args.parts):
        if last:
            outputs[part].backward()
        else:
            arriving.wait()
            gradient = gradients[part % 2].float().clone()
            if part + 1 < args.parts:
                arriving = dist.irecv(gradients[(part + 1) % 2], rank + 1, tag=BACK)
            outputs[part].backward(gradient)
        if not first:
            sent = received[part].grad.to(sent_as).contiguous()
            sending.append((dist.isend(sent, rank - 1, tag=BACK), sent))
    for handle, _ in sending:
        handle.wait()
    optimizer.step()
    if last:
        say(f"loss {rank} {step} {total!r}")
say_weights(stage, rank)
end()
