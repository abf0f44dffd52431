"""Calls backward in all the ways there are, and prints the number of each root: one JSON list an iteration."""

import json
import math

import torch
from torch import nn


def main():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for iteration in range(6):
        optimizer.zero_grad()
        output = model(torch.randn(4, 3))
        first = output.square().mean()
        if iteration == 3:
            first = first * math.nan
        if iteration == 4:
            first = first * math.inf
        first.backward()
        told = {"loss": first.item()}
        if iteration % 2:
            second = model(torch.ones(1, 3)).sum().double()
            torch.autograd.backward(second)
            told["loss#2"] = second.item()
        half = (model.weight.sum() * 3).to(torch.bfloat16)
        torch.autograd.backward([half, model.bias.abs().sum()])
        told["loss#3[0]"], told["loss#3[1]"] = half.item(), model.bias.abs().sum().item()
        # The root is no number.
        model(torch.ones(2, 3)).backward(torch.ones(2, 1))
        told["loss#4"] = None
        if iteration < 3:
            optimizer.step()
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
