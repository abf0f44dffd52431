"""Functions called in every way that Python has. Prints nothing but what the script itself says."""
import collections
import sys

import torch

SECRET = "hunter" + "2horse"


def positional(a, b, c=3.5, *, d="mean", e=None):
    return a + b


def rest(first, *args, **kwargs):
    return [first, args, kwargs]


def nested(batch):
    return {"loss": torch.zeros(()), "parts": (1, 2, 3)}


def deep(tree):
    pass


def big(many, mapping, group):
    pass


def numbers(yes, small, large, huge, negative, ratio, nothing):
    return True


def texts(short, long, odd):
    return short * 100


def secrets(password, api_key, config, url, plain, token):
    return "sk-live-" + "0123456789"


def tensors(plain, parameter, made, turned, half, meta, sparse, compressed, inferred, scalar):
    return plain.view(3, 2)


def written(tensor):
    pass


def hostile(thing, things, mapping, text, number, of_meta):
    return thing


def closed(shared, other):
    def inner():
        return shared

    return inner()


def fails(value):
    raise LookupError("no " + SECRET)


def raises_own(value):
    raise OwnError()


def modes(dtype, device, optimizer, model, cls):
    pass


class OwnError(Exception):
    pass


class Thing:
    """Every hook that could run when somebody looks at it says so and fails."""

    def _called(self, *_, **__):
        print("the agent called", sys._getframe(1).f_code.co_name)
        raise RuntimeError("looked at")

    __repr__ = __str__ = __eq__ = __hash__ = __iter__ = __len__ = __bool__ = __getattr__ = _called
    __getitem__ = __contains__ = __int__ = __float__ = __index__ = __format__ = __bytes__ = _called

    def __getattribute__(self, name):
        print("the agent asked for", name)
        raise RuntimeError("looked at")


class Text(str):
    __repr__ = __str__ = __len__ = __eq__ = Thing._called
    __hash__ = str.__hash__


class Number(int):
    __repr__ = __int__ = __index__ = __eq__ = __bool__ = Thing._called
    __hash__ = int.__hash__


class Listing(list):
    __iter__ = __len__ = __getitem__ = Thing._called


class Mapping(dict):
    __iter__ = __len__ = __getitem__ = keys = items = Thing._called


class Meta(type):
    def __getattribute__(cls, name):
        print("the agent asked the class for", name)
        raise RuntimeError("looked at")


class OfMeta(metaclass=Meta):
    pass


class Key:
    __repr__ = __str__ = Thing._called

    def __hash__(self):
        return 7

    def __eq__(self, other):
        return self is other


class Method:
    def __init__(self, width, depth=2):
        pass

    @classmethod
    def made(cls, width):
        return None

    def run(self, x):
        return x


Pair = collections.namedtuple("Pair", "left right")

# Before the optimizer: constructing one imports torch._dynamo, which wraps this function.
torch.manual_seed(1234)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.AdamW(model.parameters())
model(torch.ones(3, 4)).sum().backward()
optimizer.step()

positional(1, b=2)
positional(1.5, 2, True, d="sum", e=(1, "two"))
rest(1, 2, "three", x=4, y=[5])
nested({"x": torch.ones(8, 3), "meta": [1, {"deep": (1, [2])}], 3: "three", Key(): 1})
deep([[[[1]]]])
big(list(range(1000)), {str(i): i for i in range(100)}, {1, 2, 3})
numbers(True, 7, 2**62, 2**100, -(2**80), 0.1, None)
texts("a", "word " * 100, "\udcff")
secrets(
    "hunter2horse",
    b"hunter2horse",
    {"db_password": "hunter2horse", "lr": 0.1, "auth_token": ["hunter2horse"], "nested": {"token": "hunter2horse"}},
    "postgres://bob:hunter2horse@host/x",
    "hf_hunter2horsehunter2horse",
    12345,
)
weight = model.weight
plain = torch.arange(6.0).reshape(2, 3)
with torch.inference_mode():
    inferred = torch.ones(2)
tensors(
    plain,
    weight,
    weight * 2,
    plain.t(),
    torch.ones(2, 2, dtype=torch.bfloat16),
    torch.empty(5, 6, device="meta"),
    torch.eye(3).to_sparse(),
    torch.eye(3).to_sparse_csr(),
    inferred,
    torch.tensor(1),
)
counted = torch.zeros(2)
for _ in range(4):
    counted.add_(1)
written(counted)
written(counted[1:])
hostile(Thing(), Listing([Thing()]), Mapping(a=Thing()), Text("x"), Number(3), OfMeta())
closed([1], 2)
for failing in fails, raises_own:
    try:
        failing(1)
    except (LookupError, OwnError):
        pass
modes(torch.float16, torch.device("cpu"), optimizer, model, Thing)
Method(8).run(Pair(1, 2))
Method.made(4)
torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
model.train(False)
model.load_state_dict(model.state_dict(), strict=False)
torch.set_grad_enabled(True)
model(input=torch.ones(1, 4))
print("done")
