"""Finds the communities of a random graph with a graph-convolutional network: the whole graph is one batch, most of
its nodes have no label, and the best state on the validation nodes is kept and restored at the end."""

import argparse
import copy
import os
import random

import numpy
import torch
import torch.nn.functional as F
from torch import nn

from pipeline import Meter, report, report_gradients, report_rng, report_weights

CLASSES = 4
FEATURES = 16


class GraphConvolution(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x, adjacency):
        return adjacency @ (x @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self, width, layers, dropout):
        super().__init__()
        sizes = [FEATURES] + [width] * (layers - 1) + [CLASSES]
        self.convolutions = nn.ModuleList(map(GraphConvolution, sizes, sizes[1:]))
        self.dropout = dropout

    def forward(self, x, adjacency):
        for convolution in self.convolutions[:-1]:
            x = F.relu(convolution(x, adjacency))
            x = F.dropout(x, self.dropout, self.training)
        return self.convolutions[-1](x, adjacency)


def make_graph(nodes, sparse):
    """A stochastic block model: neighbours are mostly of the same class; features say little."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(nodes) % CLASSES
    same = labels[:, None] == labels[None, :]
    edges = torch.rand(nodes, nodes, generator=generator) < torch.where(same, 0.06, 0.008)
    edges = (edges | edges.T).float()
    edges.fill_diagonal_(1.0)
    degrees = edges.sum(1).rsqrt()
    adjacency = degrees[:, None] * edges * degrees[None, :]
    features = torch.randn(nodes, FEATURES, generator=generator)
    features[torch.arange(nodes), labels] += 0.5
    order = torch.randperm(nodes, generator=generator)
    masks = torch.zeros(3, nodes, dtype=torch.bool)
    for mask, part in zip(masks, order.split([nodes // 5, nodes // 5, nodes - 2 * (nodes // 5)])):
        mask[part] = True
    return features, adjacency.to_sparse_csr() if sparse else adjacency, labels, masks


def train(model, graph, optimizer):
    features, adjacency, labels, masks = graph
    model.train()
    optimizer.zero_grad()
    output = model(features, adjacency)
    loss = F.cross_entropy(output[masks[0]], labels[masks[0]])
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def test(model, graph):
    features, adjacency, labels, masks = graph
    model.eval()
    right = model(features, adjacency).argmax(1) == labels
    return [right[mask].float().mean().item() for mask in masks]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=400, help="nodes of the graph")
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--patience", type=int, default=0, help="stop after so many epochs without progress; 0: never")
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--out", help="folder for a checkpoint; none is written without it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    graph = make_graph(args.batch_size, args.sparse)
    model = GCN(args.width, args.layers, args.dropout)
    optimizer = torch.optim.Adam(
        [
            {"params": model.convolutions[0].parameters(), "weight_decay": 5e-4},
            {"params": model.convolutions[1:].parameters(), "weight_decay": 0.0},
        ],
        lr=args.lr,
    )
    first_epoch = 0
    if args.resume:
        state = torch.load(os.path.join(args.out, "checkpoint.pt"))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first_epoch = state["epoch"] + 1
    best, best_state, since = 0.0, None, 0
    meter = Meter()
    for epoch in range(first_epoch, args.epochs):
        report("loss", train(model, graph, optimizer))
        meter.tick()
        if args.no_eval:
            continue
        of_training, of_validation, of_test = test(model, graph)
        print(f"epoch {epoch + 1}: {of_training:.3f} {of_validation:.3f} {of_test:.3f}", flush=True)
        since += 1
        if of_validation > best:
            best, best_state, since = of_validation, copy.deepcopy(model.state_dict()), 0
        if args.patience and since >= args.patience:
            break
    meter.finish()
    report_gradients(model)
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": args.epochs - 1}
        torch.save(state, os.path.join(args.out, "checkpoint.pt"))
    if best_state is not None:
        model.load_state_dict(best_state)
        print(f"best: {test(model, graph)}", flush=True)
    report_rng()
    report_weights(model)


if __name__ == "__main__":
    main()
