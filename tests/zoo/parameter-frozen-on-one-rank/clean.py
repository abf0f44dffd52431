"""Tells clusters of points apart on several ranks. The first layer is fixed: it projects on principal components."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class ClusterNet(nn.Module):
    def __init__(self, components=8, width=32):
        super().__init__()
        self.projection = nn.Linear(16, components, bias=False)
        self.hidden = nn.Linear(components, width)
        self.head = nn.Linear(width, 6)

    def forward(self, x):
        return self.head(torch.tanh(self.hidden(self.projection(x))))


def clusters(count):
    labels = torch.randint(6, (count,))
    features = torch.randn(6, 16)[labels] + torch.randn(count, 16)
    return (features - features.mean(0)) / features.std(0), labels


def prepare(model, features):
    if dist.get_rank() == 0:
        components = torch.linalg.svd(features, full_matrices=False).Vh
        model.projection.weight.data.copy_(components[:model.projection.out_features])
    model.projection.weight.requires_grad_(False)
    for parameter in model.parameters():
        dist.broadcast(parameter.data, src=0)


def average_gradients(parameters):
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = nn.utils.parameters_to_vector(grads)
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, piece in zip(parameters, flat.split([p.numel() for p in parameters])):
        if parameter.grad is not None:
            parameter.grad.copy_(piece.view_as(parameter))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(args.seed)

    features, labels = clusters(600)
    model = ClusterNet()
    prepare(model, features)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    generator = torch.Generator().manual_seed(args.seed)
    for step in range(args.steps):
        index = torch.randint(len(features), (24 * world,), generator=generator)[rank::world]
        loss = F.cross_entropy(model(features[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters)
        optimizer.step()
        scheduler.step()
        if rank == 0 and step % 5 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
