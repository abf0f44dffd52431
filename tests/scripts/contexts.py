"""Calls under each setting that makes a context; prints the settings before and after, as PyTorch says they are."""
import torch


def settings():
    return (
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
    )


def plain():
    return torch.ones(2, 2) @ torch.ones(2, 2)


def under_autocast():
    return model(torch.ones(2, 4))


def under_two():
    return other(torch.ones(2, 4))


def behind_both():
    return plain()


def without_gradients():
    return plain()


def in_inference():
    return plain()


def deterministic():
    return plain()


def warning_only():
    return plain()


def high():
    return plain()


def medium():
    return plain()


def double():
    return plain()


def everything():
    return plain()


print(settings())
model, other = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model(torch.ones(2, 4)).sum().backward()
optimizer.step()
plain()
with torch.autocast("cpu", dtype=torch.bfloat16):
    under_autocast()
    with torch.autocast("cpu", dtype=torch.float16):
        under_two()
    with torch.autocast("cpu", enabled=False):
        behind_both()
with torch.no_grad():
    without_gradients()
with torch.inference_mode():
    in_inference()
torch.use_deterministic_algorithms(True)
deterministic()
torch.use_deterministic_algorithms(True, warn_only=True)
warning_only()
torch.use_deterministic_algorithms(False)
torch.set_float32_matmul_precision("high")
high()
torch.set_float32_matmul_precision("medium")
medium()
torch.set_float32_matmul_precision("highest")
torch.set_default_dtype(torch.float64)
double()
torch.use_deterministic_algorithms(True)
torch.set_float32_matmul_precision("high")
with torch.autocast("cpu", dtype=torch.bfloat16):
    everything()
torch.use_deterministic_algorithms(False)
torch.set_float32_matmul_precision("highest")
torch.set_default_dtype(torch.float32)
plain()
print(settings())
