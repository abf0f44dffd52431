"""Trains in ways that are not the textbook loop, and prints a sum over all weights after each."""

import copy

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn
from torch.func import functional_call, grad, vmap


def show(name, *models):
    total = sum(tensor.double().sum().item() for model in models for tensor in model.state_dict().values())
    print(name, repr(total), flush=True)


def closure():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(model.parameters())
    x = torch.randn(32, 4)

    def evaluate():
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(evaluate)
    show("closure", model)


def adversaries():
    generator, critic = nn.Linear(4, 4), nn.Linear(4, 1)
    of_generator = torch.optim.Adam(generator.parameters())
    of_critic = torch.optim.Adam(critic.parameters())
    for _ in range(5):
        for _ in range(3):
            of_critic.zero_grad()
            (critic(torch.randn(8, 4)) - critic(generator(torch.randn(8, 4)).detach())).mean().backward()
            of_critic.step()
        of_generator.zero_grad()
        critic(generator(torch.randn(8, 4))).mean().backward()
        of_generator.step()
    show("adversaries", generator, critic)


def mixed_precision():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(torch.randn(8, 4)).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    show("mixed precision", model)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.recurrent = nn.LSTM(8, 8, batch_first=True)
        self.output = nn.Linear(8, 10, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, x):
        return self.output(self.recurrent(self.embedding(x))[0])


def tied_weights_and_a_moving_average():
    model = Tied()
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for _ in range(5):
        x = torch.randint(10, (4, 6))
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), x.flatten()).backward()
        optimizer.step()
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), model.parameters()):
                mean.lerp_(parameter, 0.1)
    show("tied weights", model, average)


def plain_loop(name, model, make, optimizer_class=torch.optim.SGD):
    optimizer = optimizer_class(model.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        make(model).mean().backward()
        optimizer.step()
    show(name, model)


def layers():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))


def by_hand():
    model = nn.Linear(4, 1)
    parameters = dict(model.named_parameters())

    def loss(parameters, x):
        return functional_call(model, parameters, (x,)).pow(2).mean()

    for _ in range(3):
        gradients = grad(loss)(parameters, torch.randn(8, 4))
        vmap(grad(loss), in_dims=(None, 0))(parameters, torch.randn(5, 4))
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.sub_(0.1 * gradients[name])
    show("by hand", model)


class Batches:
    """A generator method whose `self` is shared with a closure."""

    def __init__(self, model):
        self.model = model

    def losses(self):
        def loss():
            return self.model(torch.randn(8, 4)).mean()

        for _ in range(4):
            yield loss()


def generator():
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for loss in Batches(model).losses():
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    show("generator", model)


def inference():
    model = nn.Linear(4, 1)
    with torch.inference_mode():
        show("inference", model)
        print(repr(model(torch.ones(2, 4)).sum().item()))


def main():
    torch.manual_seed(0)
    closure()
    adversaries()
    mixed_precision()
    tied_weights_and_a_moving_average()
    x = torch.randn(8, 4)
    checkpointed = torch.utils.checkpoint.checkpoint
    plain_loop("checkpointed", layers(), lambda model: checkpointed(model, x, use_reentrant=False))
    plain_loop("sparse", nn.Embedding(10, 4, sparse=True), lambda model: model(torch.tensor([1, 2, 3])))
    plain_loop("scripted", torch.jit.script(layers()), lambda model: model(x))
    plain_loop("forward called", layers(), lambda model: model.forward(x))
    plain_loop("compiled", torch.compile(layers(), backend="eager"), lambda model: model(x))
    lazy = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    lazy(x)
    plain_loop("lazy", lazy, lambda model: model(x))
    by_hand()
    generator()
    inference()


main()
