"""Gradients averaged by hand in one coalesced reduction, and other collectives that are begun together."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(resync=0, scaler=False)
rank, ranks = begin(args)
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
stream = batches(x, y, args.batch_size, args.seed + rank)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5, enabled=args.scaler)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    scaler.scale(loss).backward()
    with dist._coalescing_manager():
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
    for parameter in model.parameters():
        parameter.grad /= ranks
    with dist._coalescing_manager(async_ops=True) as together:
        first, second = torch.empty(ranks * 8, CLASSES), torch.empty(ranks * 4, CLASSES)
        outputs = model(inputs).detach()
        dist.all_gather_into_tensor(first, outputs[:8].contiguous())
        dist.all_gather_into_tensor(second, outputs[8:12].contiguous())
    together.wait()
    dist.all_reduce_coalesced([torch.randn(20) + rank, torch.rand(30)], async_op=True).wait()
    if args.resync and step % args.resync == args.resync - 1:
        with dist._coalescing_manager():
            for parameter in model.parameters():
                dist.all_reduce(parameter.data)
        for parameter in model.parameters():
            parameter.data /= ranks
    if step % 5 == 4:
        dist.monitored_barrier()
    scaler.step(optimizer)
    scaler.update()
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
