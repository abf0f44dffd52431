"""Several ranks learn to tell noisy waves apart; now and then one of them, in turn, reports how active layers are."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

KINDS, LENGTH = 5, 48


class WaveNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.first = nn.Linear(LENGTH, width)
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, KINDS)

    def forward(self, x, with_activity=False):
        first = F.relu(self.first(x))
        second = F.relu(self.second(first))
        scores = self.head(second)
        if with_activity:
            return scores, [(layer > 0).float().mean().item() for layer in (first, second)]
        return scores


def batch(size, generator):
    labels = torch.randint(KINDS, (size,), generator=generator)
    phase = torch.rand(size, 1, generator=generator) * 6.28
    time = torch.linspace(0, 6.28, LENGTH)
    waves = torch.sin(time * (labels[:, None] + 1) + phase)
    return waves + 0.3 * torch.randn(size, LENGTH, generator=generator), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--report-every", type=int, default=8)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed * 100 + rank)

    model = DistributedDataParallel(WaveNet())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(args.steps):
        waves, labels = batch(32, generator)
        optimizer.zero_grad()
        if step % args.report_every == args.report_every // 2 + rank:
            scores, activity = model(waves, with_activity=True)
            print(f"step {step}, rank {rank}: active {', '.join(f'{share:.2f}' for share in activity)}", flush=True)
        else:
            scores = model(waves)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 4 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
