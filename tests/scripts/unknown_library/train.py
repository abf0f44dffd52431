"""Trains with a library that nobody knows, and prints what the trace must have."""

import torch
from plainopt import Descent, Halving


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x)


def main():
    torch.manual_seed(1)
    model = Net()
    optimizer = Descent(model.parameters(), lr=0.5)
    scheduler = Halving(optimizer, every=2)
    for _ in range(6):
        loss = (model(torch.ones(4, 3)) - 2).pow(2).mean()
        optimizer.forget_gradients()
        loss.backward()
        optimizer.apply_updates()
        scheduler.advance()
        print(optimizer.param_groups[0]["lr"], model.layer.weight.norm().item())


if __name__ == "__main__":
    main()
