"""Uses what PyTorch offers besides plain modules, one small training each, and prints exactly what came out. The
classes of the models are named after what is used, so that a trace tells what was seen of each."""

import contextlib
import shutil
import sys
import warnings

import torch
import torch.fx
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn
from torch._dynamo.utils import counters
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel, SWALR, get_ema_multi_avg_fn, update_bn

warnings.simplefilter("ignore")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 1)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def named(name, base=Net, **members):
    return type(name, (base,), {"__module__": __name__, **members})


def show(name, *values):
    total = [sum(t.double().sum().item() for t in v.state_dict().values()) if isinstance(v, nn.Module) else v for v in values]
    print(name, *map(repr, total), flush=True)


def train(name, model, call=None, optimizer=None, steps=4):
    call = call or model
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = call(torch.randn(8, 4)).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    show(name, losses, model, [p.grad.double().sum().item() for p in model.parameters() if p.grad is not None])


def compiled(backend):
    torch._dynamo.reset()
    counters.clear()
    model = named("Compiled_" + backend)()
    train("compiled with " + backend, model, torch.compile(model, backend=backend))
    # A graph break, and recompilation for another size.
    class WithBreak(Net):
        def forward(self, x):
            x = torch.tanh(self.first(x))
            torch._dynamo.graph_break()
            return self.second(x)

    model = WithBreak()
    call = torch.compile(model, backend=backend)
    for size in (8, 8, 5, 3):
        call(torch.randn(size, 4)).sum().backward()
    show("graph break", model, [p.grad.double().sum().item() for p in model.parameters()])

    @torch.compile(backend=backend)
    def step(x, y):
        return helper(x) * y

    show("compiled function", step(torch.ones(3), 2).tolist(), step(torch.ones(3), 3).tolist(), step(torch.ones(5), 3).tolist())
    for key in ("frames", "stats", "graph_break", "recompiles", "unimplemented"):
        print(key, sorted((str(name).split("\n")[0], count) for name, count in counters[key].items()), flush=True)
    torch._dynamo.reset()
    show("after a reset", step(torch.ones(3), 2).tolist(), dict(counters["stats"]).get("unique_graphs"))


def helper(x):
    return x + 1


def jit():
    scripted = torch.jit.script(named("Scripted", forward=Net.forward)())
    train("scripted", scripted)
    traced = torch.jit.trace(named("Traced")(), torch.ones(2, 4))
    train("traced", traced)


def checkpointing():
    for reentrant in (True, False):
        model = named(f"Checkpointed_{'reentrant' if reentrant else 'not'}")()

        def call(x):
            x = x.requires_grad_()
            hidden = torch.utils.checkpoint.checkpoint(model.first, x, use_reentrant=reentrant)
            return model.second(F.dropout(torch.tanh(hidden), 0.1))

        train("checkpointed", model, call)
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 4), nn.Linear(4, 1))
    train("checkpointed sequence", model, lambda x: torch.utils.checkpoint.checkpoint_sequential(model, 2, x, use_reentrant=False))


def hooks():
    model = named("Hooked")()
    seen = []
    note = lambda what: lambda *arguments: seen.append(what)
    handles = [
        model.register_forward_pre_hook(note("forward pre")),
        model.register_forward_hook(lambda module, inputs, output: output * 2),
        model.first.register_full_backward_pre_hook(note("backward pre")),
        model.first.register_full_backward_hook(note("backward")),
        model.second.weight.register_hook(lambda gradient: gradient * 0.5),
        model.second.bias.register_post_accumulate_grad_hook(note("accumulated")),
        nn.modules.module.register_module_forward_hook(note("global forward")),
    ]
    optimizer = torch.optim.AdamW(model.parameters())
    handles.append(optimizer.register_step_pre_hook(note("step pre")))
    handles.append(optimizer.register_step_post_hook(note("step post")))
    handles.append(model.register_state_dict_pre_hook(note("state")))
    train("hooked", model, optimizer=optimizer)
    for handle in handles:
        handle.remove()
    print(seen, flush=True)


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x**2


def functions():
    train("custom function", *[m := named("CustomFunction")(), lambda x: Cube.apply(m(x))])
    train("forward directly", *[m := named("ForwardDirectly")(), lambda x: m.forward(x)])
    model = named("Functional")()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    loss = lambda parameters, x: functional_call(model, parameters, (x,)).pow(2).mean()
    for _ in range(3):
        gradients = grad(loss)(parameters, torch.randn(8, 4))
        each = vmap(grad(loss), in_dims=(None, 0))(parameters, torch.randn(5, 4))
        parameters = {name: p - 0.1 * gradients[name] for name, p in parameters.items()}
    show("torch.func", [p.double().sum().item() for p in parameters.values()], each["first.weight"].sum().item())
    model = torch.fx.symbolic_trace(named("SymbolicallyTraced")())
    train("symbolic trace", model)


def parametrized():
    model = named("Parametrized")()
    parametrizations.spectral_norm(model.first)
    parametrizations.weight_norm(model.second)
    train("parametrized", model)


def optimizers():
    for name, make in {
        "fused": lambda p: torch.optim.AdamW(p, fused=True),
        "foreach": lambda p: torch.optim.AdamW(p, foreach=True),
        "for loop": lambda p: torch.optim.AdamW(p, foreach=False, amsgrad=True),
        "fused sgd": lambda p: torch.optim.SGD(p, lr=0.1, fused=True),
    }.items():
        model = named("Optimized")()
        train(name, model, optimizer=make(model.parameters()))
    model = named("WithSparse", nn.Module)
    embedding = nn.Embedding(10, 4, sparse=True)
    train("sparse", embedding, lambda x: embedding(torch.tensor([1, 2, 3])), torch.optim.SparseAdam(embedding.parameters()))


def averages():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    swa, ema = AveragedModel(model), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    scheduler = SWALR(optimizer, swa_lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).mean().backward()
        optimizer.step()
        swa.update_parameters(model)
        ema.update_parameters(model)
        scheduler.step()
    update_bn([torch.randn(8, 4) for _ in range(2)], swa)
    show("averages", model, swa, ema)


def quantized():
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat, convert

    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).train()
    model.qconfig = get_default_qat_qconfig("fbgemm")
    prepare_qat(model, inplace=True)
    train("quantization-aware", model, steps=2)


class Logged(torch.Tensor):
    """A subclass by __torch_function__."""

    calls = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        cls.calls.append(getattr(function, "__name__", str(function)))
        return super().__torch_function__(function, types, args, kwargs or {})


class Wrapped(torch.Tensor):
    """A subclass by __torch_dispatch__ that holds another tensor and has no storage."""

    calls = []

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, requires_grad=inner.requires_grad)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        cls.calls.append(str(function))
        strip = lambda value: value.inner if isinstance(value, cls) else value
        out = function(*torch.utils._pytree.tree_map(strip, args), **torch.utils._pytree.tree_map(strip, kwargs or {}))
        return torch.utils._pytree.tree_map(lambda value: cls(value) if isinstance(value, torch.Tensor) else value, out)


def subclasses():
    model = named("OnLogged")()
    model.first.weight = nn.Parameter(torch.randn(8, 4).as_subclass(Logged))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 4).as_subclass(Logged)).pow(2).mean().backward()
        optimizer.step()
    print("torch function", len(Logged.calls), Logged.calls[:8], flush=True)
    model = named("OnWrapped")()
    model.extra = nn.Parameter(Wrapped(torch.ones(3)))
    model.state = torch.nn.Buffer(Wrapped(torch.ones(2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(torch.randn(8, 4)).mean() + (model.extra * 2).sum()).backward()
        optimizer.step()
    print("torch dispatch", len(Wrapped.calls), Wrapped.calls, model.extra.inner.tolist(), flush=True)


def main():
    torch.manual_seed(0)
    parts = [jit, checkpointing, hooks, functions, parametrized, optimizers, averages, quantized, subclasses]
    for part in parts:
        part()
    compiled("eager")
    compiled("aot_eager")
    if "inductor" in sys.argv and shutil.which("g++"):
        compiled("inductor")
    # Whatever was compiled, what comes after is seen and runs as before.
    train("at the end", named("AtTheEnd")())
    print(torch.get_rng_state().double().sum().item(), flush=True)


main()
