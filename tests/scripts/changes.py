"""Writes to parameters and buffers in every way that leaves no trace in their version, and says what changed.

After every optimizer step it prints one JSON object: which variables have other bytes than after the step before.
"""

import json

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.Linear(8, 8)
        self.output = nn.Linear(8, 2)
        self.unused = nn.Parameter(torch.ones(5))
        # A parameter that is not contiguous.
        self.turned = nn.Parameter(torch.randn(8, 4).t())
        for parameter in self.frozen.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        x = F.relu(self.norm(self.hidden(x)))
        x = x + F.linear(F.linear(x, self.turned), self.turned.t())
        return self.output(self.frozen(x))


def contents(model):
    return {name: tensor.detach().contiguous().numpy().tobytes() for name, tensor in model.state_dict().items()}


def data_add(model):
    model.frozen.weight.data.add_(1.0)


def data_add_nothing(model):
    model.frozen.weight.data.add_(0.0)


def data_replaced(model):
    model.frozen.bias.data = model.frozen.bias.data + 1.0


def data_replaced_by_its_like(model):
    model.frozen.bias.data = model.frozen.bias.data.clone()


def numpy_write(model):
    model.unused.detach().numpy()[2] = 7.0


def multiplied_by_one(model):
    with torch.no_grad():
        model.unused.mul_(1.0)


def last_element(model):
    model.turned.data[3, 7] += 1.0


def evaluation_mode(model):
    model.eval()


def training_mode(model):
    model.train()


def buffer_write(model):
    model.norm.running_var.data.fill_(3.0)


def nothing(model):
    pass


WRITES = [
    nothing,
    nothing,
    data_add,
    nothing,
    data_add_nothing,
    data_replaced,
    data_replaced_by_its_like,
    numpy_write,
    multiplied_by_one,
    last_element,
    evaluation_mode,
    nothing,
    buffer_write,
    nothing,
    training_mode,
    nothing,
]


def main():
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2, fused=True)
    before = None
    for index, write in enumerate(WRITES):
        write(model)
        # A learning rate of zero and no decay: a step that changes nothing.
        optimizer.param_groups[0]["lr"] = 0.0 if index == len(WRITES) - 1 else 1e-2
        optimizer.zero_grad()
        loss = F.cross_entropy(model(torch.randn(16, 6)), torch.randint(2, (16,)))
        loss.backward()
        optimizer.step()
        after = contents(model)
        if before is not None:
            changed = [name for name in after if after[name] != before[name]]
            print(json.dumps({"write": write.__name__, "changed": changed, "all": list(after)}), flush=True)
        before = after


if __name__ == "__main__":
    main()
