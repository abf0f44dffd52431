"""Fits the diabetes data of scikit-learn by a small network; the learning rate warms up, then falls along a cosine."""

import argparse
import math

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn

STEPS, WARM_UP, HIGHEST = 160, 16, 3e-3


def rate_at(step):
    if step < WARM_UP:
        return HIGHEST * (step + 1) / WARM_UP
    return HIGHEST * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (STEPS - WARM_UP)))


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    features, target = sklearn.datasets.load_diabetes(return_X_y=True, scaled=True)
    features = torch.tensor(features * math.sqrt(len(features)), dtype=torch.float32)
    target = torch.tensor((target - target.mean()) / target.std(), dtype=torch.float32)
    model = nn.Sequential(nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 1), nn.Flatten(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=HIGHEST / WARM_UP, weight_decay=0.1)
    for step in range(STEPS):
        set_rate(optimizer, rate_at(step))
        chosen = torch.randint(len(features), (48,))
        loss = F.mse_loss(model(features[chosen]), target[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 39:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
