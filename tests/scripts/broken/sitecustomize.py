"""Breaks what the agent proves when torch has been imported, as TRAINCHECK_TEST_BREAK lists it.

The changes are part of the body of torch, so they are there when its import returns; each undoes itself when it is used
for the first time, which is by the agent: the training has a PyTorch as it should be. Only what takes the place of the
agent's hook of calls stays there.
"""

import importlib.abc
import importlib.machinery
import os
import sys

CHANGES = {
    # The gradient of a known parameter.
    "variables": """
def full(*arguments, _full=full):
    globals()["full"] = _full
""",
    # One of two known ops.
    "ops": """
def arange(*arguments, _arange=arange, **options):
    if arguments != (4,):
        return _arange(*arguments, **options)
    globals()["arange"] = _arange
    return 0
""",
    # A known user scope.
    "user scopes": """
class _NoScope:
    _real = autograd.profiler.record_function
    def __init__(self, name):
        autograd.profiler.record_function = _NoScope._real
    def __enter__(self): pass
    def __exit__(self, *exception): pass
autograd.profiler.record_function = _NoScope
""",
    # A known mode.
    "modes": """
class _NoMode:
    _real = no_grad
    def __init__(self):
        globals()["no_grad"] = _NoMode._real
    def __enter__(self): pass
    def __exit__(self, *exception): pass
no_grad = _NoMode
""",
    # What sees Python calls: something else is in its place.
    "python calls": """
import sys
if sys.version_info < (3, 12):
    _C._dynamo.eval_frame.set_eval_frame(False)
else:
    for _tool in (0, 1, 2, 3, 4, 5):
        if sys.monitoring.get_tool(_tool) == "traincheck":
            sys.monitoring.free_tool_id(_tool)
""",
}


class Changed(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        wanted = os.environ["TRAINCHECK_TEST_BREAK"].split(",")
        source = self.get_data(self.path).decode() + "".join(CHANGES[change] for change in wanted)
        return compile(source, self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        spec.loader = Changed(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, Finder())
