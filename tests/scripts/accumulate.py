"""Accumulates gradients over three batches a step, and evaluates between the epochs."""

import torch
import torch.nn.functional as F
from torch import nn

EPOCHS = 2
BATCHES = 12
ACCUMULATE = 3


def evaluate(model):
    model.eval()
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(8, 5))


def main():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        model.train()
        for index in range(BATCHES):
            loss = F.mse_loss(model(torch.randn(8, 5)), torch.randn(8, 1)) / ACCUMULATE
            loss.backward()
            if index % ACCUMULATE == ACCUMULATE - 1:
                optimizer.step()
                optimizer.zero_grad()
        evaluate(model)
    print("done", flush=True)


if __name__ == "__main__":
    main()
