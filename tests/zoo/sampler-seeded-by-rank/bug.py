"""Tells languages apart by their words, which are made up, with a bag of letter pairs, on several ranks."""

import argparse
import random

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, Dataset, DistributedSampler

SYLLABLES = [["ka", "to", "mi", "ra", "shi"], ["sch", "ei", "ung", "ver", "ge"], ["le", "oi", "que", "eau", "ti"]]


class Words(Dataset):
    def __init__(self, count, seed):
        draw = random.Random(seed)
        self.words = []
        for _ in range(count):
            language = draw.randrange(len(SYLLABLES))
            pool = SYLLABLES[language] if draw.random() < 0.8 else draw.choice(SYLLABLES)
            self.words.append(("".join(draw.choices(pool, k=draw.randint(2, 4))), language))

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        word, language = self.words[index]
        pairs = [(ord(a) * 31 + ord(b)) % 128 for a, b in zip(word, word[1:])]
        return torch.tensor(pairs), language


def collate(rows):
    lengths = torch.tensor([0] + [len(pairs) for pairs, _ in rows[:-1]])
    return torch.cat([pairs for pairs, _ in rows]), lengths.cumsum(0), torch.tensor([language for _, language in rows])


class LanguageNet(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.pairs = nn.EmbeddingBag(128, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, len(SYLLABLES))

    def forward(self, pairs, offsets):
        return self.out(F.relu(self.hidden(self.pairs(pairs, offsets))))


def seed_everything(seed):
    random.seed(seed)
    torch.manual_seed(seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    words = Words(256 * world, args.seed)
    seed = args.seed + rank
    seed_everything(seed)

    sampler = DistributedSampler(words, seed=seed)
    loader = DataLoader(words, batch_size=32, sampler=sampler, collate_fn=collate)
    model = DDP(LanguageNet())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        total = torch.zeros(1)
        for pairs, offsets, languages in loader:
            loss = F.cross_entropy(model(pairs, offsets), languages)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        dist.all_reduce(total)
        if rank == 0:
            print(f"epoch {epoch + 1}: loss {total.item() / len(loader) / world:.4f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
