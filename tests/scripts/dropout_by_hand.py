"""Trains a network with dropout and evaluates it after every fifth of 40 iterations. ALWAYS=1: dropout is on whatever
the mode."""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 16)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        on = self.training or os.environ.get("ALWAYS") == "1"
        return self.head(F.dropout(torch.relu(self.body(x)), 0.1, on))


torch.manual_seed(int(os.environ["SEED"]))
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(40):
    model.train()
    x = torch.randn(int(os.environ.get("ROWS", "8")), 4)
    optimizer.zero_grad()
    F.mse_loss(model(x), x.sum(1, keepdim=True)).backward()
    optimizer.step()
    if step % 5 == 4:
        model.eval()
        with torch.no_grad():
            # Held-out data are drawn, too: beside the model.
            x = torch.randn(32, 4)
            error = F.mse_loss(model(x), x.sum(1, keepdim=True))
