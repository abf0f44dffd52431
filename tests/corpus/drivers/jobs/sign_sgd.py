"""Training by the signs of gradients: the majority of the ranks decides, or what signs leave out is kept for the next
step."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import batches, begin, blobs, end, network, options, say, say_weights, send_to_all

args = options(error_feedback=False, noise=0.5)
rank, ranks = begin(args)
model = network()
send_to_all(model)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr * 0.1)
errors = [torch.zeros_like(parameter) for parameter in model.parameters()]
x, y = blobs(args.seed, rank, ranks, noise=args.noise, count=2048)
stream = batches(x, y, args.batch_size, args.seed + rank)
for step in range(args.steps):
    optimizer.zero_grad()
    inputs, labels = next(stream)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    for error, parameter in zip(errors, model.parameters()):
        gradient = parameter.grad + error if args.error_feedback else parameter.grad
        votes = torch.sign(gradient)
        if args.error_feedback:
            votes = votes * gradient.abs().mean()
            error.copy_(gradient - votes)
        dist.all_reduce(votes)
        parameter.grad.copy_(votes / ranks if args.error_feedback else torch.sign(votes))
    optimizer.step()
    say(f"loss {rank} {step} {loss.item()!r}")
say_weights(model, rank)
end()
