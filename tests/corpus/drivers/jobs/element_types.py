"""Gradients averaged by hand, beside reductions of tensors of all element types and layouts; some are refused by
gloo."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(overflow=False, other_reductions=False, float64=False)
rank, ranks = begin(args)
if args.float64:
    torch.set_default_dtype(torch.float64)
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
x, y = blobs(args.seed, rank, ranks)
x = x.to(torch.get_default_dtype())
stream = batches(x, y, args.batch_size, args.seed + rank)
generator = torch.Generator().manual_seed(args.seed + rank)


def reduce_all_types(step, inputs, labels):
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    ones = torch.ones(len(labels), dtype=torch.int64)
    confusion.index_put_((labels, model(inputs).argmax(1)), ones, accumulate=True)
    dist.all_reduce(confusion)
    seen = torch.zeros(32, dtype=torch.bool)
    seen[labels] = True
    dist.all_reduce(seen, dist.ReduceOp.MAX)
    spectrum = torch.fft.fft(inputs.mean(0)).to(torch.complex64)
    dist.all_reduce(spectrum)

    transposed = torch.randn(8, 6, generator=generator).t()
    try:
        dist.all_reduce(transposed)
    except RuntimeError:
        transposed = transposed.contiguous()
        dist.all_reduce(transposed)
    counted = torch.arange(24.0).view(4, 6).t() * step if rank == 0 else torch.zeros(6, 4)
    counted = counted.contiguous()
    dist.broadcast(counted, 0)
    gathered = [torch.empty(5, 3, dtype=torch.complex64) for _ in range(ranks)]
    dist.all_gather(gathered, torch.randn(5, 3, generator=generator, dtype=torch.complex64))
    gathered = [torch.empty(20, 2).t() for _ in range(ranks)]
    try:
        dist.all_gather(gathered, torch.randn(2, 20, generator=generator))
    except Exception:
        pass

    if args.other_reductions:
        factors = torch.rand(20, generator=generator) + 0.5
        dist.all_reduce(factors, dist.ReduceOp.PRODUCT)
        dist.all_reduce(torch.rand(20, generator=generator), dist.ReduceOp.MIN)
        try:
            dist.all_reduce(torch.rand(20, generator=generator), dist.ReduceOp.AVG)
        except Exception as error:
            if rank == 0 and step == 0:
                say(f"no average: {error}")
    dist.all_reduce(torch.zeros(40))
    dist.all_reduce(torch.full((40,), float("nan")) if rank == 0 else torch.randn(40, generator=generator))
    if args.float64:
        dist.all_reduce(torch.full((150000,), 0.1 * (rank + 1), dtype=torch.float64))
    # The sum is no number of this type.
    dist.all_reduce(torch.full((64,), 60000.0, dtype=torch.float16))


for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    overflows = args.overflow and step % 5 == 3 and rank == 0
    (loss * (float("inf") if overflows else 1)).backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad.to(torch.bfloat16))
        dist.all_reduce(parameter.grad.half())
        dist.all_reduce(parameter.grad)
        parameter.grad /= ranks
    finite = all(parameter.grad.isfinite().all() for parameter in model.parameters())
    skip = torch.tensor([float(not finite)])
    dist.all_reduce(skip, dist.ReduceOp.MAX)
    if not skip.item():
        optimizer.step()
    reduce_all_types(step, inputs, labels)
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
