"""Trains a small classifier on made-up points, in the way that the first argument says. Most ways are wrong."""

import sys

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 32)
        self.head = nn.Linear(32, 2)

    def forward(self, points):
        return self.head(torch.relu(self.body(points)))


class WritesToACopy(torch.optim.Optimizer):
    """Gradient descent in blocks of rows. A parameter that does not lie in one piece is written to in a copy of it."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                rows = parameter.contiguous()
                rows.sub_(parameter.grad, alpha=group["lr"])


def main():
    way = sys.argv[1]
    torch.manual_seed(3)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0 if way in ("rate of zero", "rate run out") else 1e-2)
    if way == "rate run out":
        # What a run has saved whose schedule had come to its end.
        optimizer.load_state_dict(optimizer.state_dict())
    if way == "stale optimizer":
        model = Net()
    if way == "updates lost":
        model.body.weight.data = model.body.weight.data.T.contiguous().T
        optimizer = WritesToACopy(model.parameters(), lr=0.1)
    if way.startswith("another"):
        teacher = Net()
        of_teacher = torch.optim.SGD(teacher.parameters(), lr=0.1)
    if way == "idle scheduler":
        _ = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    for epoch in range(2):
        for _ in range(20):
            points = torch.randn(16, 8)
            labels = (points.sum(1) > 0).long()
            loss = nn.functional.cross_entropy(model(points), labels)
            if way == "set to none by hand":
                for parameter in model.parameters():
                    parameter.grad = None
            elif way == "zeroed by hand":
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter.grad.zero_()
            elif way == "zeroed at once":
                gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
                if gradients:
                    torch._foreach_zero_(gradients)
            elif way == "another model's cleared":
                teacher.zero_grad()
            elif way == "another optimizer's cleared":
                of_teacher.zero_grad()
            elif way != "never cleared":
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
