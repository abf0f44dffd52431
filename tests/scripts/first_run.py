"""Trains a small classifier on made-up points, in the way that the first argument says. Half of the ways are wrong."""

import copy
import sys

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, dropout=None):
        super().__init__()
        self.body = nn.Linear(8, 32)
        self.dropout = nn.Identity() if dropout is None else nn.Dropout(dropout)
        self.head = nn.Linear(32, 2)

    def forward(self, points):
        return self.head(self.dropout(torch.relu(self.body(points))))


class LazyNet(nn.Module):
    """Its layers become others of another class with the first call."""

    def __init__(self):
        super().__init__()
        self.body = nn.LazyLinear(32)
        self.norm = nn.LazyBatchNorm1d()
        self.head = nn.LazyLinear(2)

    def forward(self, points):
        return self.head(torch.relu(self.norm(self.body(points))))


class CallsItselfOtherwise(torch.optim.Optimizer):
    """Gradient descent whose methods do not call their object `self`."""

    def __init__(s, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @staticmethod
    def move(parameter, lr):
        parameter.sub_(parameter.grad, alpha=lr)

    @torch.no_grad()
    def step(s):
        for group in s.param_groups:
            for parameter in group["params"]:
                s.move(parameter, group["lr"])


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


# The ways in which it matters in which mode the model is.
MODES = ("trained in evaluation mode", "attacked in evaluation mode")


def attack(model, points, labels):
    """The points, moved to where the model errs more; it computes in evaluation mode for that."""
    model.eval()
    points = points.clone().requires_grad_()
    nn.functional.cross_entropy(model(points), labels).backward()
    model.train()
    return points.detach() + 0.01 * points.grad.sign()


def main():
    way = sys.argv[1]
    torch.manual_seed(3)
    model = Net(dropout=0.1 if way in MODES else None)
    if way == "trained in evaluation mode":
        model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0 if way in ("rate of zero", "rate run out") else 1e-2)
    if way == "rate run out":
        # What a run has saved whose schedule had come to its end.
        optimizer.load_state_dict(optimizer.state_dict())
    if way == "stale optimizer":
        model = Net()
    if way == "lazy layers":
        model = LazyNet()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    if way == "methods without self":
        optimizer = CallsItselfOtherwise(model.parameters(), lr=0.1)
    schedule = None
    if way == "schedules in a row":
        parts = [torch.optim.lr_scheduler.LinearLR(optimizer), torch.optim.lr_scheduler.StepLR(optimizer, 10)]
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, parts, [1])
    if way == "warm-up from zero":
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: min(epoch, 1))
    if way == "updates lost":
        model.body.weight.data = model.body.weight.data.T.contiguous().T
        optimizer = WritesToACopy(model.parameters(), lr=0.1)
    if way.startswith("another"):
        teacher = Net()
        of_teacher = torch.optim.SGD(teacher.parameters(), lr=0.1)
    if way == "idle scheduler":
        _ = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    if way == "a closure beside another step":
        train_by_closure(model)
    for epoch in range(2):
        for _ in range(20):
            points = torch.randn(16, 8)
            labels = (points.sum(1) > 0).long()
            if way == "attacked in evaluation mode":
                points = attack(model, points, labels)
                optimizer.zero_grad()
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
            if way == "clipped after the step":
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if way == "norm measured after the step":
                nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
        if schedule is not None:
            schedule.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)
    if way == "a second optimizer":
        refine(model)
    if way == "a trained input":
        train_input(model)
    if way == "copies of the model":
        train_by_copies(model)
    if way == "a loss without weight yet":
        train_ahead(model)


def refine(model):
    points = torch.randn(64, 8)
    labels = (points.sum(1) > 0).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()


def train_input(model):
    model.requires_grad_(False).eval()
    wanted = torch.tensor([[1.0, -1.0]])
    for make in (torch.optim.Adam, torch.optim.LBFGS):
        points = torch.zeros(1, 8, requires_grad=True)
        optimizer = make([points], lr=0.1)

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(points), wanted)
            loss.backward()
            return loss

        for _ in range(40):
            optimizer.step(closure)


def train_by_closure(model):
    """The closure clears what the other optimizer's loss has left in the gradients of its parameters."""
    reader = nn.Linear(2, 8)
    by_closure = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    of_reader = torch.optim.Adam(reader.parameters(), lr=1e-2)
    points = torch.randn(64, 8)
    for _ in range(20):

        def closure():
            by_closure.zero_grad()
            loss = nn.functional.mse_loss(reader(model(points)), points)
            loss.backward()
            return loss

        by_closure.step(closure)
        of_reader.zero_grad()
        nn.functional.mse_loss(reader(model(points)), points).backward()
        of_reader.step()


def train_ahead(model):
    """The critic is trained first; what the model is to learn from it has no weight until later."""
    critic = nn.Linear(2, 1)
    of_critic = torch.optim.Adam(critic.parameters(), lr=1e-2)
    actor = Net()
    of_actor = torch.optim.Adam(actor.parameters(), lr=1e-3)
    for step in range(40):
        points = torch.randn(16, 8)
        weight = 0.0 if step < 1000 else 1.0
        wanted = points.sum(1, keepdim=True)
        loss = nn.functional.mse_loss(critic(model(points).detach()), wanted) + weight * actor(points).square().mean()
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        if weight > 0:
            of_actor.step()
            of_actor.zero_grad()


def train_by_copies(model):
    outer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):
        inner_model = copy.deepcopy(model)
        inner = torch.optim.SGD(inner_model.parameters(), lr=0.1)
        for _ in range(3):
            points = torch.randn(16, 8)
            loss = nn.functional.cross_entropy(inner_model(points), (points.sum(1) > 0).long())
            inner.zero_grad()
            loss.backward()
            inner.step()
        for parameter, of_copy in zip(model.parameters(), inner_model.parameters()):
            parameter.grad = parameter.detach() - of_copy.detach()
        outer.step()
        outer.zero_grad()


if __name__ == "__main__":
    main()
