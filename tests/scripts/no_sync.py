"""Gradient accumulation under DistributedDataParallel with one rank; a region that raises, and one dropped half-way."""
import torch
import torch.distributed as dist


def kept():
    return model(torch.ones(2, 4)).sum().backward()


def nested():
    return torch.ones(1)


def reduced():
    return model(torch.ones(2, 4)).sum().backward()


def behind():
    return torch.ones(1)


def last():
    return torch.ones(1)


dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(12):
    with model.no_sync():
        kept()
        with model.no_sync():
            pass
        nested()
    reduced()
    optimizer.step()
    optimizer.zero_grad()
try:
    with model.no_sync():
        raise ValueError("not handled inside")
except ValueError as error:
    print(error)
behind()
region = model.no_sync()
region.__enter__()
del region
last()
print(model.require_backward_grad_sync, [parameter.tolist() for parameter in model.parameters()])
dist.destroy_process_group()
