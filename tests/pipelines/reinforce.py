"""Learns to balance a pole by REINFORCE with a learned baseline: episodes of varying length are played with the policy,
one decision after the other, and there is one backward for some of them at a time."""

import argparse
import math
import os
import random

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical

from pipeline import Meter, report, report_gradients, report_rng, report_weights


class Pole:
    """A pole on a cart, as in textbooks: four numbers, pushed left or right."""

    def __init__(self, generator):
        self.generator = generator

    def reset(self):
        self.state = ((torch.rand(4, generator=self.generator) - 0.5) / 10).tolist()
        return torch.tensor(self.state)

    def step(self, action):
        x, speed, angle, turning = self.state
        force = 10.0 if action == 1 else -10.0
        push = (force + 0.05 * turning**2 * math.sin(angle)) / 1.1
        pull = 9.8 * math.sin(angle) - math.cos(angle) * push
        turn = pull / (0.5 * (4.0 / 3.0 - 0.1 * math.cos(angle) ** 2 / 1.1))
        drive = push - 0.05 * turn * math.cos(angle) / 1.1
        x, speed = x + 0.02 * speed, speed + 0.02 * drive
        angle, turning = angle + 0.02 * turning, turning + 0.02 * turn
        self.state = [x, speed, angle, turning]
        return torch.tensor(self.state), 1.0, abs(x) > 2.4 or abs(angle) > 0.21


class Policy(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.hidden = nn.Linear(4, width)
        self.action = nn.Linear(width, 2)
        self.value = nn.Linear(width, 1)

    def forward(self, state):
        hidden = F.relu(self.hidden(state))
        return F.log_softmax(self.action(hidden), dim=-1), self.value(hidden).squeeze(-1)


def play(policy, pole, longest):
    """One episode: logarithms of the probabilities of what was done, values, rewards."""
    state, done = pole.reset(), False
    log_probabilities, values, rewards = [], [], []
    while not done and len(rewards) < longest:
        logits, value = policy(state)
        choice = Categorical(logits=logits)
        action = choice.sample()
        state, reward, done = pole.step(action.item())
        log_probabilities.append(choice.log_prob(action))
        values.append(value)
        rewards.append(reward)
    return log_probabilities, values, rewards


def discounted(rewards, gamma):
    total, returns = 0.0, []
    for reward in reversed(rewards):
        total = reward + gamma * total
        returns.insert(0, total)
    return torch.tensor(returns)


def update(policy, optimizer, episodes, gamma):
    losses = []
    for log_probabilities, values, rewards in episodes:
        returns = discounted(rewards, gamma) / 20
        values = torch.stack(values)
        advantages = returns - values.detach()
        losses.append(-(torch.stack(log_probabilities) * advantages).sum() + F.mse_loss(values, returns, reduction="sum"))
    loss = torch.stack(losses).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def evaluate(policy, pole, longest):
    policy.eval()
    state, done, steps = pole.reset(), False, 0
    while not done and steps < longest:
        state, _, done = pole.step(policy(state)[0].argmax().item())
        steps += 1
    policy.train()
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=40, help="updates of the policy")
    parser.add_argument("--batch-size", type=int, default=2, help="episodes for an update")
    parser.add_argument("--longest", type=int, default=100, help="steps of an episode, at most")
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--gamma", type=float, default=0.98)
    parser.add_argument("--eval-every", type=int, default=10)
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for checkpoints; none are written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    pole = Pole(torch.Generator().manual_seed(args.seed))
    policy = Policy(args.width)
    optimizer = torch.optim.Adam(policy.parameters(), lr=args.lr)
    checkpoint = os.path.join(args.out, "checkpoint.pt") if args.out else None
    if checkpoint:
        os.makedirs(args.out, exist_ok=True)
    first = 0
    if args.resume:
        state = torch.load(checkpoint)
        policy.load_state_dict(state["policy"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["iteration"] + 1
    meter = Meter()
    for iteration in range(first, args.iterations):
        episodes = [play(policy, pole, args.longest) for _ in range(args.batch_size)]
        report("loss", update(policy, optimizer, episodes, args.gamma))
        meter.tick()
        if (iteration + 1) % args.eval_every == 0:
            length = sum(len(rewards) for *_, rewards in episodes) / len(episodes)
            print(f"iteration {iteration + 1}: episodes of {length:.1f} steps", flush=True)
            if not args.no_eval:
                report("evaluated", evaluate(policy, pole, args.longest))
            if checkpoint:
                state = {"policy": policy.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
                torch.save(state, checkpoint)
    meter.finish()
    report_gradients(policy)
    report_rng()
    report_weights(policy)


if __name__ == "__main__":
    main()
