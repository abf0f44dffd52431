"""A transformer whose attention heads and hidden units are spread over the ranks (tensor parallel), which all see the
same batches. It finds the token that a sequence has most often. Queries and keys are normalised in each head."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

TOKENS, LENGTH, HEADS = 6, 15, 4


class ToRanks(torch.autograd.Function):
    """Into a column-parallel layer: every rank takes the whole input, and gradients of all ranks add up."""

    @staticmethod
    def forward(context, x):
        return x.view_as(x)

    @staticmethod
    def backward(context, grad):
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad


class FromRanks(torch.autograd.Function):
    """Out of a row-parallel layer: what the ranks have adds up."""

    @staticmethod
    def forward(context, x):
        x = x.contiguous()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(context, grad):
        return grad


class ColumnLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        whole = torch.randn(outputs, inputs) / inputs ** 0.5
        self.weight = nn.Parameter(whole.chunk(dist.get_world_size())[dist.get_rank()].clone())

    def forward(self, x):
        return F.linear(x, self.weight)


class RowLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        whole = torch.randn(outputs, inputs) / inputs ** 0.5
        self.weight = nn.Parameter(whole.chunk(dist.get_world_size(), dim=1)[dist.get_rank()].clone())
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return FromRanks.apply(F.linear(x, self.weight)) + self.bias


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v = (ColumnLinear(width, width) for _ in range(3))
        self.q_norm, self.k_norm = nn.LayerNorm(width // HEADS), nn.LayerNorm(width // HEADS)
        self.out = RowLinear(width, width)

    def forward(self, x):
        x = ToRanks.apply(x)
        q, k, v = (layer(x).unflatten(-1, (HEADS // dist.get_world_size(), -1)) for layer in (self.q, self.k, self.v))
        q, k = self.q_norm(q), self.k_norm(k)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.up, self.down = ColumnLinear(width, 4 * width), RowLinear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.gelu(self.up(ToRanks.apply(self.mlp_norm(x)))))


class Transformer(nn.Module):
    def __init__(self, width=32, depth=2):
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.head = nn.Linear(width, TOKENS)

    def forward(self, tokens):
        return self.head(self.blocks(self.embedding(tokens)).mean(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    torch.manual_seed(args.seed)
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(args.steps):
        tokens = torch.randint(TOKENS, (32, LENGTH))
        loss = F.cross_entropy(model(tokens), tokens.mode(1).values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if dist.get_rank() == 0 and step % 5 == 4:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
