"""Trains with two optimizers, two schedulers and a scaler, and prints what they keep: one JSON object of names and values
for each point at which all of it is looked at."""

import io
import json

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def main():
    torch.manual_seed(0)
    model = Net()
    first = torch.optim.AdamW(model.body.parameters(), lr=1e-2, betas=(0.8, 0.95))
    second = torch.optim.SGD(model.head.parameters(), lr=torch.tensor(0.5), momentum=0.9)
    second.param_groups[0]["label"] = "head"
    steps = torch.optim.lr_scheduler.StepLR(first, step_size=2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(first, T_max=7)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    optimizers = {"AdamW": first, "SGD": second}
    modules = {"body": model.body, "head": model.head}
    names = {p: f"Net.{m}.{n}" for m, module in modules.items() for n, p in module.named_parameters()}

    def tell(where, chosen):
        kept = {}
        for name in chosen:
            for parameter, state in optimizers[name].state.items():
                for key, value in state.items():
                    if isinstance(value, torch.Tensor):
                        value = value.item() if value.dim() == 0 else value.double().norm().item()
                    if value is not None:
                        kept[f"{name}.state[{names[parameter]}].{key}"] = value
        print(json.dumps({"where": where, "iteration": iteration, "kept": kept}), flush=True)

    for iteration in range(1, 102):
        first.zero_grad()
        second.zero_grad()
        loss = F.cross_entropy(model(torch.randn(8, 4)), torch.randint(2, (8,)))
        scaler.scale(loss).backward()
        scaler.step(first)
        scaler.step(second)
        scaler.update()
        if iteration in (1, 2, 3, 100):
            tell("step", ["AdamW", "SGD"])
        if iteration <= 5:
            steps.step()
            cosine.step()
            values = {"GradScaler._scale": scaler.get_scale()}
            for name, scheduler in {"StepLR": steps, "CosineAnnealingLR": cosine}.items():
                values[f"{name}.last_epoch"] = scheduler.last_epoch
                values[f"{name}._step_count"] = scheduler._step_count
                values[f"{name}._last_lr[0]"] = scheduler.get_last_lr()[0]
            values["AdamW.param_groups[0].lr"] = first.param_groups[0]["lr"]
            print(json.dumps({"where": "schedulers", "iteration": iteration, "kept": values}), flush=True)
        if iteration == 20:
            file = io.BytesIO()
            torch.save(first.state_dict(), file)
            file.seek(0)
        if iteration == 50:
            first.load_state_dict(torch.load(file))
            tell("load", ["AdamW"])


if __name__ == "__main__":
    main()
