"""Functions of every shape, called with objects of every kind, on which rules say all that rules can say; around them
a model is trained. `odd_rules.py SUFFIX...`: the ends of the functions' names, one for each rule."""

import asyncio
import sys
import weakref

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader

torch.set_num_threads(1)
torch.manual_seed(0)

FUNCTIONS = """
def nothing_X(): return None
def star_X(*values): return values
def keyword_X(*, value=None): return value
def keywords_X(**values): return values
def one_X(value): return value
def self_X(self): return [self]
def cell_X(value): return (lambda: value)()
def deleted_X(value):
    del value
def raises_X(): raise ValueError
def generator_X(): yield 1
def generator_of_one_X(value): yield value
async def coroutine_X(): return 1
class Odd:
    @staticmethod
    def static_X(): return ()
    @staticmethod
    def static_one_X(value): return {'value': value}
    @classmethod
    def class_X(cls): return cls
    def method_X(self): return self
"""


class Slots:
    __slots__ = ()


class Has:
    """An object with these attributes."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 100)
loader = DataLoader(torch.zeros(8, 4), batch_size=4)
tensor = torch.ones(2, 2)
has_none = Has()
VALUES = [
    None, True, 7, 2**100, 1.5, "text", b"bytes", (), (1, tensor), [], [[tensor]], {}, {"a": {1: tensor}}, object(), int,
    type, Slots, Slots(), has_none, weakref.proxy(has_none), len, sys, (one for one in ()), tensor, tensor.to_sparse(),
    torch.tensor(1.0), nn.Parameter(tensor), numpy.ones(3), numpy.array(["text"]), model, optimizer, scheduler, loader,
    iter(loader),
    Has(_task_info=7, _rcvd_idx=7), Has(_task_info={}, _rcvd_idx="text"), Has(_task_info={7: 7}, _rcvd_idx=7),
    Has(_task_info={7: ()}, _rcvd_idx=7), Has(_task_info={True: ("text",)}, _rcvd_idx=True, _in_order=7),
    Has(_task_info={7: (0,)}, _rcvd_idx=7, _base_seed="text", generator=7),
    Has(param_groups=7, state=7), Has(param_groups=[7], state=[]), Has(param_groups=[{"params": 7}], state={7: 7}),
    Has(param_groups=[{"params": [7, None, tensor], "lr": []}], state={tensor: {"kept": None}, 7: {7: tensor}}),
    Has(optimizer=7, generator=tensor, training="text", _parameters=7, _modules={"a": 7}, data={"a": [tensor]}),
]  # fmt: skip


def train(steps):
    for batch in loader:
        optimizer.zero_grad()
        loss = model(batch + torch.rand(4, 4)).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        print(f"{loss.item()!r}")


def call_all(suffix):
    namespace = {"__name__": "odd"}
    exec(FUNCTIONS.replace("X", suffix), namespace)
    function = lambda name: namespace[f"{name}_{suffix}"]
    method = lambda name: getattr(namespace["Odd"](), f"{name}_{suffix}")
    function("nothing")()
    function("keywords")(value=1)
    function("deleted")(1)
    method("static")(), method("class")(), method("method")()
    list(function("generator")())
    asyncio.run(function("coroutine")())
    try:
        function("raises")()
    except ValueError:
        pass
    function("keyword")()
    function("star")(), function("star")(1)
    function("cell")(1), method("static_one")(1)
    list(function("generator_of_one")(1))
    for value in VALUES:
        function("one")(value), function("self")(value)


train(2)
for suffix in sys.argv[1:]:
    call_all(suffix)
train(2)
print([parameter.tolist() for parameter in model.parameters()])
