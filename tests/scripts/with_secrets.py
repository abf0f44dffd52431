"""Trains with secrets in its arguments, its environment and its path, none of which it prints."""

import os
import sys

import torch
from hardship import network, say, train

assert os.environ["WANDB_API_KEY"] and len(sys.argv) > 1


class Client:
    """What a script has about it besides its model."""

    def __init__(self, token):
        self.token = token

    def upload(self, url):
        return self.token in url


client = Client(os.environ["WANDB_API_KEY"])
model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.zero_grad()
model(torch.ones(2, 4)).sum().backward()
optimizer.step()
client.upload(sys.argv[-1])
try:
    raise ValueError(f"cannot reach {sys.argv[-1]}")
except ValueError:
    pass
train(model, 3, say)
