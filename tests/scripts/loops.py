"""Training loops of many kinds, each a function; runs those that are named on the command line, one after the other.

What is to be counted in each of them is written down in `iterations_and_steps_are_counted_in_every_kind_of_loop.rs`.
"""

import copy
import io
import random
import sys
import threading

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn
from torch.func import functional_call


def linear(inputs=4, outputs=4):
    model = nn.Linear(inputs, outputs)
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


def batch():
    return torch.randn(8, 4)


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# Gradient accumulation


def accumulate():
    model, optimizer = linear()
    for index in range(10):
        (model(batch()).pow(2).mean() / 4).backward()
        if index % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()


def accumulate_in_functions():
    model, optimizer = linear()

    def gather():
        (model(batch()).pow(2).mean() / 4).backward()

    def apply():
        optimizer.step()
        optimizer.zero_grad()

    for index in range(10):
        gather()
        if index % 4 == 3:
            apply()
    apply()


# Several models


def critics():
    generator, of_generator = linear()
    critic, of_critic = linear(4, 1)
    for _ in range(3):
        for _ in range(5):
            with torch.no_grad():
                fake = generator(batch())
            update(of_critic, critic(fake).mean() - critic(batch()).mean())
        update(of_generator, -critic(generator(batch())).mean())


def critics_after_generator():
    generator, of_generator = linear()
    critic, of_critic = linear(4, 1)
    for _ in range(3):
        update(of_generator, -critic(generator(batch())).mean())
        for _ in range(5):
            with torch.no_grad():
                fake = generator(batch())
            update(of_critic, critic(fake).mean() - critic(batch()).mean())


def critics_in_functions():
    generator, of_generator = linear()
    critic, of_critic = linear(4, 1)

    def train_critic():
        for _ in range(5):
            update(of_critic, critic(generator(batch()).detach()).mean() - critic(batch()).mean())

    def train_generator():
        update(of_generator, -critic(generator(batch())).mean())

    for _ in range(3):
        train_critic()
        train_generator()


def adversaries():
    generator, of_generator = linear()
    critic, of_critic = linear(4, 1)
    for _ in range(4):
        of_critic.zero_grad()
        critic(batch()).mean().backward()
        fake = generator(batch())
        critic(fake.detach()).mean().neg().backward()
        of_critic.step()
        update(of_generator, critic(fake).mean())


def gradient_penalty():
    critic, optimizer = linear(4, 1)
    for _ in range(4):
        mixed = batch().requires_grad_()
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        update(optimizer, critic(batch()).mean() + (slope.norm(dim=1) - 1).pow(2).mean())


def turns():
    first, of_first = linear()
    second, of_second = linear()

    def train_first():
        update(of_first, first(batch()).pow(2).mean())

    def train_second():
        update(of_second, second(batch()).pow(2).mean())

    for _ in range(4):
        train_first()
        train_second()


def phases():
    """Two loops after one another, twice."""
    first, of_first = linear()
    second, of_second = linear()

    def fit_first():
        for _ in range(4):
            update(of_first, first(batch()).pow(2).mean())

    def fit_second():
        for _ in range(3):
            update(of_second, second(batch()).pow(2).mean())

    for _ in range(2):
        fit_first()
        fit_second()


def phases_inline():
    first, of_first = linear()
    second, of_second = linear()
    for _ in range(2):
        for _ in range(4):
            update(of_first, first(batch()).pow(2).mean())
        for _ in range(3):
            update(of_second, second(batch()).pow(2).mean())


def teacher_first():
    model, optimizer = linear()
    teacher, _ = linear()
    for _ in range(4):
        x = batch()
        with torch.no_grad():
            target = teacher(x)
        update(optimizer, F.mse_loss(model(x), target))


def teacher_second():
    model, optimizer = linear()
    teacher, _ = linear()
    teacher.eval()
    for _ in range(4):
        x = batch()
        answer = model(x)
        with torch.no_grad():
            target = teacher(x)
        update(optimizer, F.mse_loss(answer, target))


# Several calls and losses in one iteration


def siamese():
    model, optimizer = linear()
    for _ in range(4):
        left = model(batch())
        right = model(batch())
        update(optimizer, F.mse_loss(left, right))


def contrastive():
    model, optimizer = linear()

    def embed(x):
        return F.normalize(model(x))

    for _ in range(4):
        left, right = embed(batch()), embed(batch())
        update(optimizer, -(left * right).sum(1).mean())


def several_losses():
    model, optimizer = linear()
    other = nn.Linear(4, 4)
    for _ in range(4):
        optimizer.zero_grad()
        model(batch()).pow(2).mean().backward()
        other(model(batch())).pow(2).mean().backward()
        shared = model(batch())
        shared.mean().backward(retain_graph=True)
        shared.pow(2).mean().backward()
        optimizer.step()


def truncated():
    model = nn.LSTMCell(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    hidden, loss = None, 0
    for index in range(12):
        hidden = model(batch(), hidden)
        loss = loss + hidden[0].pow(2).mean()
        if index % 3 == 2:
            update(optimizer, loss)
            hidden, loss = tuple(part.detach() for part in hidden), 0


class Corridor:
    """Ends where it says, or at either end."""

    def __init__(self, length):
        self.left = length

    def step(self, action):
        self.left -= 1
        return torch.randn(4), float(action), self.left == 0


def reinforce():
    policy, optimizer = linear(4, 2)

    def act(state):
        distribution = torch.distributions.Categorical(logits=policy(state))
        action = distribution.sample()
        return action.item(), distribution.log_prob(action)

    for length in (3, 7, 1, 4, 6):
        environment, state, done = Corridor(length), torch.randn(4), False
        logs, rewards = [], []
        while not done:
            action, log = act(state)
            state, reward, done = environment.step(action)
            logs.append(log)
            rewards.append(reward)
        update(optimizer, -torch.stack(logs).sum() * sum(rewards))


def deep_q():
    """Acts without gradients, and learns from the fourth step on."""
    model, optimizer = linear(4, 2)
    target, _ = linear(4, 2)
    for index in range(12):
        with torch.no_grad():
            model(torch.randn(4)).argmax().item()
        if index >= 3:
            x = batch()
            chosen = model(x).max(1).values
            with torch.no_grad():
                best = target(x).max(1).values
            update(optimizer, F.mse_loss(chosen, best))


def proximal():
    """Two rounds: five actions without gradients, then two passes over three minibatches."""
    policy, optimizer = linear(4, 2)
    for _ in range(2):
        with torch.no_grad():
            old = [policy(batch()).log_softmax(1) for _ in range(5)]
        for _ in range(2):
            for minibatch in range(3):
                new = policy(batch()).log_softmax(1)
                update(optimizer, -(new - old[minibatch]).exp().clamp(0.8, 1.2).mean())


def recomputed():
    """Activations are computed again in each of two backward passes on one line."""
    model, optimizer = linear()
    for _ in range(4):
        x = batch().requires_grad_()
        losses = [
            torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).pow(power).mean() for power in (2, 4)
        ]
        optimizer.zero_grad()
        for loss in losses:
            loss.backward()
        optimizer.step()


def meta():
    """Two inner steps for each of two tasks, then the outer step."""
    model, optimizer = linear()
    for _ in range(3):
        outer = 0
        for _ in range(2):
            adapted = dict(model.named_parameters())
            for _ in range(2):
                loss = functional_call(model, adapted, (batch(),)).pow(2).mean()
                gradients = torch.autograd.grad(loss, list(adapted.values()), create_graph=True)
                adapted = {name: value - 0.1 * g for (name, value), g in zip(adapted.items(), gradients)}
            outer = outer + functional_call(model, adapted, (batch(),)).pow(2).mean()
        update(optimizer, outer)


def functional():
    model, _ = linear()
    parameters = {name: value.detach().requires_grad_() for name, value in model.named_parameters()}
    for _ in range(5):
        loss = functional_call(model, parameters, (batch(),)).pow(2).mean()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        with torch.no_grad():
            for parameter, gradient in zip(parameters.values(), gradients):
                parameter.sub_(0.1 * gradient)


# Who calls, and how


def closures():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)
    x, y = batch(), torch.randn(8, 1)

    def evaluate():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(evaluate)


class Sharpness(torch.optim.Optimizer):
    """Climbs, and takes the gradient from there: two backward passes for each step."""

    def __init__(self, parameters, base):
        super().__init__(parameters, {})
        self.base = base(self.param_groups, lr=0.01)

    @torch.no_grad()
    def climb(self):
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["climbed"] = 0.05 * parameter.grad
            parameter.add_(self.state[parameter]["climbed"])
        self.zero_grad()

    @torch.no_grad()
    def descend(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.sub_(self.state[parameter]["climbed"])
        self.base.step()
        self.zero_grad()


def sharpness():
    model = nn.Linear(4, 4)
    optimizer = Sharpness(model.parameters(), torch.optim.SGD)
    for _ in range(4):
        x = batch()
        model(x).pow(2).mean().backward()
        optimizer.climb()
        model(x).pow(2).mean().backward()
        optimizer.descend()


class Ahead(torch.optim.Optimizer):
    """An optimizer around another."""

    def __init__(self, base):
        super().__init__([p for group in base.param_groups for p in group["params"]], {})
        self.base = base

    def step(self, closure=None):
        return self.base.step(closure)


def nested_optimizers():
    model, base = linear()
    optimizer = Ahead(base)
    for _ in range(4):
        update(optimizer, model(batch()).pow(2).mean())


def scaled():
    """The scaler leaves out the step of the batch whose gradient is infinite."""
    model, optimizer = linear()
    scaler = torch.amp.GradScaler("cpu")
    for index in range(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(batch()).pow(2).mean() * (float("inf") if index == 2 else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def clears_last():
    model, optimizer = linear()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(5):
        loss = model(batch()).pow(2).mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 1))

    def forward(self, x):
        return self.second(self.first(x))


def forward_itself(model=None):
    model = model or Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(4):
        update(optimizer, model.forward(batch()).pow(2).mean())


def forward_of_a_container():
    forward_itself(Net().second)


def thread():
    model, optimizer = linear()

    def train():
        for _ in range(5):
            update(optimizer, model(batch()).pow(2).mean())

    worker = threading.Thread(target=train)
    worker.start()
    worker.join()


def generator():
    model, optimizer = linear()

    def losses():
        for _ in range(5):
            yield model(batch()).pow(2).mean()

    for loss in losses():
        update(optimizer, loss)


class Engine:
    def __init__(self, process):
        self.process = process
        self.handlers = []

    def run(self, data, epochs):
        for _ in range(epochs):
            for item in data:
                self.process(self, item)
            for handler in self.handlers:
                handler(self)


def engine():
    model, optimizer = linear()

    def process(_, x):
        update(optimizer, model(x).pow(2).mean())

    @torch.no_grad()
    def judge(_, x):
        model.eval()
        model(x)
        model.train()

    trainer, evaluator = Engine(process), Engine(judge)
    trainer.handlers.append(lambda _: evaluator.run([batch()] * 2, 1))
    trainer.run([batch()] * 3, 2)


# What goes wrong, and what is left out


def skipped():
    """A gradient that is not finite is not applied."""
    model, optimizer = linear()
    for index in range(8):
        optimizer.zero_grad()
        loss = model(batch()).pow(2).mean() * (float("nan") if index == 3 else 1.0)
        loss.backward()
        if torch.isfinite(loss):
            optimizer.step()


def left_out():
    """A loss that is not finite is not used at all."""
    model, optimizer = linear()
    for index in range(8):
        loss = model(batch()).pow(2).mean() * (float("nan") if index == 3 else 1.0)
        if not torch.isfinite(loss):
            continue
        update(optimizer, loss)


def repeated():
    """One batch fails before its backward pass, another after it; both are done again."""
    model, optimizer = linear()
    failures = {2: "before", 4: "after"}
    index = 0
    while index < 6:
        try:
            optimizer.zero_grad()
            loss = model(batch()).pow(2).mean()
            if failures.get(index) == "before":
                failures.pop(index)
                raise MemoryError
            loss.backward()
            if failures.get(index) == "after":
                failures.pop(index)
                raise ValueError
            optimizer.step()
        except (MemoryError, ValueError):
            continue
        index += 1


def dry_run():
    model, optimizer = linear()
    print(tuple(model(batch()).shape))
    for _ in range(5):
        update(optimizer, model(batch()).pow(2).mean())


# Evaluation and saving


def epochs(evaluate):
    model, optimizer = linear()
    for _ in range(3):
        model.train()
        for _ in range(4):
            update(optimizer, model(batch()).pow(2).mean())
        evaluate(model)


def epochs_inline():
    model, optimizer = linear()
    for _ in range(3):
        model.train()
        for _ in range(4):
            update(optimizer, model(batch()).pow(2).mean())
        model.eval()
        with torch.no_grad():
            for _ in range(2):
                model(batch())


def epochs_in_functions():
    model, optimizer = linear()

    def train():
        model.train()
        for _ in range(4):
            update(optimizer, model(batch()).pow(2).mean())

    def test():
        model.eval()
        with torch.no_grad():
            for _ in range(2):
                model(batch())

    for _ in range(3):
        train()
        test()


def gradients_in_evaluation():
    def evaluate(model):
        model.eval()
        for _ in range(2):
            model(batch())

    epochs(evaluate)


def gradients_in_evaluation_of_functions():
    """The loss is a module with a buffer, and in training mode for good."""
    model, optimizer = linear()
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.ones(4))

    def train():
        model.train()
        for _ in range(4):
            update(optimizer, loss(model(batch()), torch.ones(8, 4)))

    def test():
        model.eval()
        for _ in range(2):
            loss(model(batch()), torch.ones(8, 4))

    for _ in range(3):
        train()
        test()


def average_in_evaluation():
    average = copy.deepcopy(linear()[0])

    def evaluate(_):
        average.eval()
        with torch.no_grad():
            for _ in range(2):
                average(batch())

    epochs(evaluate)


def training_mode_in_evaluation():
    def evaluate(model):
        with torch.no_grad():
            for _ in range(2):
                model(batch())

    epochs(evaluate)


def everything_on_in_evaluation():
    def evaluate(model):
        for _ in range(2):
            model(batch())

    epochs(evaluate)


def everything_on_in_functions():
    model, optimizer = linear()

    def train():
        for _ in range(4):
            update(optimizer, model(batch()).pow(2).mean())

    def test():
        for _ in range(2):
            model(batch())

    for _ in range(3):
        train()
        test()


def saves():
    model, optimizer = linear()
    for index in range(4):
        update(optimizer, model(batch()).pow(2).mean())
        if index == 1:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, io.BytesIO())


def main():
    torch.manual_seed(0)
    random.seed(0)
    for name in sys.argv[1:]:
        globals()[name]()
    print("done", flush=True)


if __name__ == "__main__":
    main()
