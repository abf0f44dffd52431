"""A job with several models: each part prints what the trace should say of it."""

import copy
import json

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(2, 3)

    def forward(self, x):
        return self.out(x)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.judge = nn.Linear(3, 1)

    def forward(self, x):
        return self.judge(x)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 4, bias=False)
        self.decoder = nn.Linear(4, 4, bias=False)
        self.decoder.weight = self.encoder.weight
        self.late = nn.LazyLinear(2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(self.late(self.decoder(torch.relu(self.encoder(x)))))


def gan():
    generator, discriminator = Generator(), Discriminator()
    first = torch.optim.Adam(generator.parameters(), lr=1e-3)
    second = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    for _ in range(3):
        fake = generator(torch.randn(4, 2))
        second.zero_grad()
        (discriminator(torch.randn(4, 3)).mean() - discriminator(fake.detach()).mean()).backward()
        second.step()
        first.zero_grad()
        discriminator(fake).mean().backward()
        first.step()


def distil():
    torch.manual_seed(1)
    student = Student()
    student(torch.randn(1, 4))  # makes the lazy layer
    student.fc.weight.tensor_model_parallel = True
    student.fc.weight.sequence = "row"
    student.fc.weight._private = 1
    teacher = copy.deepcopy(student).eval()
    shadow = copy.deepcopy(student)  # an average by hand
    averaged = AveragedModel(student)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for step in range(6):
        x = torch.randn(4, 4)
        with torch.no_grad():
            target = teacher(x)
        optimizer.zero_grad()
        F.mse_loss(student(x), target).backward()
        optimizer.step()
        averaged.update_parameters(student)
        with torch.no_grad():
            for mine, its in zip(shadow.parameters(), student.parameters()):
                mine.mul_(0.9).add_(its, alpha=0.1)
            shadow(x)
        if step == 2:
            # The optimizer still holds the old one.
            student.fc = nn.Linear(2, 2)
        if step == 3:
            student.late.weight = nn.Parameter(torch.zeros(2, 4))
            optimizer.add_param_group({"params": [student.late.weight]})
        if step == 4:
            student.late.weight.tensor_model_parallel = False
            student.train()


def wrapped():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(x)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = checkpoint_wrapper(Inner())

        def forward(self, x):
            return self.inner(x)

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    for model in (
        nn.DataParallel(torch.compile(Inner(), backend="eager")),
        nn.parallel.DistributedDataParallel(Outer()),
    ):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            model(torch.ones(1, 2, requires_grad=True)).sum().backward()
            optimizer.step()
    torch.distributed.destroy_process_group()


def wrapped_later():
    class Known(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(x)

    known = Known()
    known.load_state_dict(known.state_dict())
    model = nn.DataParallel(known)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()


def copied():
    class Value(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 1)

        def forward(self, x):
            return self.fc(x)

    online, target = Value(), Value()
    optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
    target.load_state_dict(online.state_dict())
    for _ in range(2):
        with torch.no_grad():
            wanted = target(torch.ones(1, 2))
        F.mse_loss(online(torch.ones(1, 2)), wanted + 1).backward()
        optimizer.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    gan()
    distil()
    wrapped()
    wrapped_later()
    copied()
    print(json.dumps({"done": True}))
