"""Finds the motif that is hidden in a sequence of bases, with a convolutional net on several ranks."""

import argparse

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

MOTIFS = ["ACGTAC", "GGATCC", "TTGACA", "CATCAT"]
LENGTH = 40


class MotifNet(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.conv = nn.Conv1d(4, channels, 6)
        self.mix = nn.Linear(channels, 32)
        self.head = nn.Linear(32, len(MOTIFS))

    def forward(self, bases):
        x = F.gelu(self.conv(F.one_hot(bases, 4).float().transpose(1, 2))).amax(2)
        return self.head(torch.tanh(self.mix(x)))


def sequences(count):
    bases = torch.randint(4, (count, LENGTH))
    labels = torch.randint(len(MOTIFS), (count,))
    for row, label in zip(bases, labels.tolist()):
        motif = torch.tensor(["ACGT".index(base) for base in MOTIFS[label]])
        start = int(torch.randint(LENGTH - len(motif), (1,)))
        row[start:start + len(motif)] = motif
    return TensorDataset(bases, labels)


def train_epoch(model, loader, optimizer, epoch):
    loader.sampler.set_epoch(epoch)
    total = 0.0
    for bases, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(bases), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    torch.manual_seed(args.seed)
    dataset = sequences(256 * dist.get_world_size())
    loader = DataLoader(dataset, batch_size=32, sampler=DistributedSampler(dataset, seed=args.seed))
    model = DDP(MotifNet())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    for epoch in range(args.epochs):
        loss = train_epoch(model, loader, optimizer, epoch)
        if dist.get_rank() == 0:
            print(f"epoch {epoch + 1}: loss {loss:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
