"""Asynchronous training with a parameter server: the first rank steps with the gradients of whoever comes, or of the
others in turn, and answers with the weights."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from job import batches, begin, blobs, end, network, options, say, send_to_all

# Of messages with gradients, and of those with weights.
GRADIENTS, WEIGHTS = 1, 2

args = options(order="any", prefetch=False, local=1)
rank, ranks = begin(args)
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
count, workers = sum(parameter.numel() for parameter in model.parameters()), ranks - 1


def set_gradients(flat):
    start = 0
    for parameter in model.parameters():
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter).clone()
        start += parameter.numel()


def serve():
    gradients, served = torch.zeros(count), dict.fromkeys(range(1, ranks), 0)
    for step in range(args.steps * workers):
        if args.order == "any" or (args.order == "any-then-turns" and step < 2 * workers):
            source = dist.recv(gradients, tag=GRADIENTS)
        else:
            # Who came often before is done sooner: a turn is that of who was served least.
            source = min(served, key=served.get)
            dist.recv(gradients, source, tag=GRADIENTS)
        served[source] += 1
        optimizer.zero_grad()
        set_gradients(gradients)
        optimizer.step()
        dist.send(nn.utils.parameters_to_vector(model.parameters()).detach(), source, tag=WEIGHTS)


def work():
    x, y = blobs(args.seed, rank - 1, workers)
    stream = batches(x, y, args.batch_size, args.seed + rank)
    weights = torch.zeros(count)
    for step in range(args.steps):
        optimizer.zero_grad()
        if args.prefetch:
            arriving = dist.irecv(weights, 0, tag=WEIGHTS)
        for _ in range(args.local):
            inputs, labels = next(stream)
            loss = F.cross_entropy(model(inputs), labels) / args.local
            loss.backward()
        gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        sending = dist.isend(gradients, 0, tag=GRADIENTS)
        if args.prefetch:
            arriving.wait()
        else:
            dist.recv(weights, 0, tag=WEIGHTS)
        sending.wait()
        nn.utils.vector_to_parameters(weights.clone(), model.parameters())
        # With several workers it is chance who comes first, and with what weights the others go on.
        if workers == 1:
            say(f"loss {rank} {step} {loss.item()!r}")


if rank == 0:
    serve()
else:
    work()
end()
