"""Predicts a noisy wave with an LSTM: no loaders, no schedules, no classes of its own, everything at the top level
of the script, the gradients cleared through the model, the learning rate set by hand."""

import hashlib
import math

import torch

torch.manual_seed(11)
wave = torch.tensor([math.sin(t / 7) + 0.3 * math.sin(t / 2.3) for t in range(1200)])
wave += 0.05 * torch.randn(wave.shape)

lstm = torch.nn.LSTM(input_size=1, hidden_size=24, num_layers=2, batch_first=True)
readout = torch.nn.Linear(24, 1)
everything = torch.nn.ModuleList([lstm, readout])
sgd = torch.optim.SGD(everything.parameters(), lr=0.05, momentum=0.9, nesterov=True)

for step in range(60):
    starts = [(step * 37 + 13 * index) % 1100 for index in range(16)]
    windows = torch.stack([wave[start : start + 50] for start in starts]).unsqueeze(-1)
    everything.zero_grad()
    hidden, _ = lstm(windows[:, :-1])
    loss = (readout(hidden) - windows[:, 1:]).square().mean()
    loss.backward()
    sgd.step()
    if step % 20 == 19:
        for group in sgd.param_groups:
            group["lr"] /= 2
    print(step, repr(loss.item()), flush=True)

digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in everything.parameters()))
print(digest.hexdigest())
