"""Training in phases, each with a process group of its own: the last one's is destroyed, and all meet anew."""

import os

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(any_source=False, phases=2)
rank, ranks = begin(args)
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
for phase in range(args.phases):
    if phase:
        end()
        # The port may still be held by the store of the last phase.
        os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)
        dist.init_process_group("gloo")
    for step in range(args.steps // 2):
        optimizer.zero_grad()
        inputs, labels = next(stream)
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= ranks
        optimizer.step()
        outputs = model(inputs).detach()
        if rank:
            dist.send(outputs, 0)
        else:
            for source in range(1, ranks):
                dist.recv(outputs, None if args.any_source and phase == 0 else source)
        say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
