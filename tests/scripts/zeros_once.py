"""Trains a small network that gives back zeros now and then. SEED, ROWS: of its data. FORM: what it gives back (tensor, dict,
tuple, half, double). ZERO: a list of iterations. WHERE: `root` (the network), `layer` (one of its layers), `evaluation` (the network,
when it is evaluated behind the iteration)."""

import os

import torch
from torch import nn

SEED, ROWS = int(os.environ.get("SEED", "0")), int(os.environ.get("ROWS", "16"))
FORM, WHERE = os.environ.get("FORM", "tensor"), os.environ.get("WHERE", "root")
ZERO = [int(number) for number in os.environ.get("ZERO", "").split(",") if number]
DTYPE = {"half": torch.bfloat16, "double": torch.float64}.get(FORM, torch.float32)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 32)
        self.body.register_forward_hook(lambda layer, given, result: result * 0 if self.zero_layer else None)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(32, 4)
        self.zero = self.zero_layer = False

    def forward(self, x):
        hidden = self.drop(self.act(self.body(x)))
        logits = self.head(hidden)
        logits = logits * 0 if self.zero else logits
        return {"dict": {"hidden": hidden, "logits": logits}, "tuple": (hidden, [logits])}.get(FORM, logits)


def logits_of(result):
    return result["logits"] if FORM == "dict" else result[1][0] if FORM == "tuple" else result


torch.manual_seed(SEED)
model = Net().to(DTYPE)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
data = torch.randn(60, ROWS, 8, dtype=DTYPE)
labels = data.abs()[..., :4].argmax(-1)
for iteration in range(1, 61):
    model.train()
    model.zero = WHERE == "root" and iteration in ZERO
    model.zero_layer = WHERE == "layer" and iteration in ZERO
    loss = criterion(logits_of(model(data[iteration - 1])), labels[iteration - 1])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if iteration % 3 == 0:
        model.eval()
        model.zero = WHERE == "evaluation" and iteration in ZERO
        with torch.no_grad():
            logits_of(model(data[0]))
print(f"loss {loss.item():.4f}")
