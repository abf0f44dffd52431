"""Parameters that lie in files, some of them mapped by PyTorch, one by numpy; in mid-training the files become shorter,
which the training, that only uses other parameters, does not notice."""

import os
import sys

import numpy
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
folder = sys.argv[1]
path = os.path.join(folder, "checkpoint.pt")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(4, 1)
        self.private = nn.Parameter(torch.zeros(64, 1024))
        self.shared = nn.Parameter(torch.zeros(64, 1024))
        self.turned = nn.Parameter(torch.zeros(64, 1024))
        self.array = nn.Parameter(torch.zeros(64, 1024))
        self.number = nn.Parameter(torch.zeros(1))

    def forward(self, value):
        return self.used(value)


model = Net()
torch.save(model.state_dict(), path)
model.load_state_dict(torch.load(path, mmap=True), assign=True)
for parameter in model.used.parameters():
    parameter.data = parameter.data.clone()
size = 64 * 1024 * 4
for name in ("shared", "turned", "number"):
    mapped = torch.from_file(os.path.join(folder, name), shared=True, size=size // 4)
    value = mapped.reshape(64, 1024)
    getattr(model, name).data = {"shared": value, "turned": value.t(), "number": mapped[-1:]}[name]
model.array.data = torch.from_numpy(numpy.memmap(os.path.join(folder, "array"), numpy.float32, "w+", shape=(64, 1024)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for iteration in range(10):
    if iteration == 5:
        for name in ("checkpoint.pt", "shared", "turned", "number", "array"):
            os.truncate(os.path.join(folder, name), 0)
    optimizer.zero_grad()
    loss = model(torch.randn(8, 4)).square().mean()
    loss.backward()
    optimizer.step()
    print(f"iteration {iteration}: {loss.item()!r}", flush=True)
