"""Initialises parameters in every way there is, and trains. Prints what filled each of them."""

import json

import torch
from torch import nn


class Embedded(nn.Module):
    """Fills what it holds itself, and what is below it once more."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.scale = nn.Parameter(torch.empty(4))
        self.never = nn.Parameter(torch.empty(4))
        self.apply(self.initialise)

    def initialise(self, module):
        for name, parameter in module.named_parameters():
            if name.endswith("linear.weight"):
                parameter.data.normal_(std=0.1)
        if module is self:
            nn.init.trunc_normal_(self.scale)
            with torch.no_grad():
                self.norm.weight[:2].fill_(2.0)

    def forward(self, x):
        return self.norm(self.linear(x)) * self.scale + 0 * self.never.sum().nan_to_num()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Embedded()
        self.head = nn.Linear(4, 1, bias=False)
        self.apply(self.inner.initialise)
        nn.init.zeros_(self.head.weight)
        self.to(torch.float64)
        # Another storage by now, and a tensor of its own.
        self.head.weight.data.uniform_(-1, 1)

    def forward(self, x):
        return self.head(self.inner(x))


def main():
    torch.manual_seed(1)
    # What was made before and is gone may have lain where others lie now.
    for _ in range(20):
        nn.init.xavier_normal_(nn.Linear(4, 4).weight)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 4, dtype=torch.float64)).sum().backward()
        optimizer.step()
        # Too late to be an initialisation.
        nn.init.ones_(model.inner.norm.bias)
    init = "torch.nn.init."
    print(
        json.dumps(
            {
                # Three times from the ancestors: of its own module, of the network, and of the network once more.
                "Net.inner.linear.weight": [init + "kaiming_uniform_"] + ["aten::normal_"] * 3,
                "Net.inner.linear.bias": [init + "uniform_"],
                "Net.inner.norm.weight": [init + "ones_"] + ["aten::fill_"] * 2,
                "Net.inner.norm.bias": [init + "zeros_"],
                "Net.inner.scale": [init + "trunc_normal_"] * 2,
                "Net.inner.never": [],
                "Net.head.weight": [init + "kaiming_uniform_", init + "zeros_", "aten::uniform_"],
            }
        )
    )


if __name__ == "__main__":
    main()
