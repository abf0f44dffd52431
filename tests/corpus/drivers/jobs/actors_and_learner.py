"""Reinforcement learning with actors: the first rank learns a policy and hands it out, the others try it and send what
they saw."""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from job import CLASSES, FEATURES, begin, end, network, options, say

args = options(any_source=False, objects=False)
rank, ranks = begin(args)
policy = network()
optimizer = torch.optim.Adam(policy.parameters(), lr=args.lr * 0.1)
generator = torch.Generator().manual_seed(args.seed * 100 + rank)
best_action = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(5))
weights = torch.zeros(sum(parameter.numel() for parameter in policy.parameters()))
received = (
    torch.zeros(args.batch_size, FEATURES),
    torch.zeros(args.batch_size, dtype=torch.int64),
    torch.zeros(args.batch_size),
)


def load(vector):
    start = 0
    for parameter in policy.parameters():
        parameter.data.copy_(vector[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()


for step in range(args.steps):
    if rank == 0:
        weights.copy_(torch.cat([parameter.detach().flatten() for parameter in policy.parameters()]))
    dist.broadcast(weights, 0)
    if rank:
        load(weights)
        seen = torch.randn(args.batch_size, FEATURES, generator=generator)
        with torch.no_grad():
            actions = torch.multinomial(policy(seen).softmax(-1), 1, generator=generator).squeeze(1)
        rewards = (actions == (seen @ best_action).argmax(1)).float()
        if args.objects:
            dist.send_object_list([{"step": step, "rows": len(seen)}], 0)
        if args.any_source:
            dist.send(torch.cat([seen, actions[:, None].float(), rewards[:, None]], 1), 0)
        else:
            for tensor in (seen, actions, rewards):
                dist.send(tensor, 0)
        # Actors have gradients of their own, to be looked at: no optimizer steps with them.
        optimizer.zero_grad()
        F.cross_entropy(policy(seen), actions).backward()
    else:
        optimizer.zero_grad()
        total = 0
        for source in range(1, ranks):
            if args.any_source:
                rows = torch.empty(args.batch_size, FEATURES + 2)
                dist.recv(rows)
                seen, actions, rewards = rows[:, :FEATURES], rows[:, FEATURES].long(), rows[:, FEATURES + 1]
            else:
                if args.objects:
                    dist.recv_object_list([None], source)
                for tensor in received:
                    dist.recv(tensor, source)
                seen, actions, rewards = received
            advantages = rewards - rewards.mean()
            loss = (F.cross_entropy(policy(seen), actions, reduction="none") * advantages).mean()
            loss.backward()
            total += loss.item()
        optimizer.step()
        # Who comes first is chance, and the order of adding up with it.
        if not args.any_source or ranks == 2:
            say(f"loss {step} {total!r}")
end()
