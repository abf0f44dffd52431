"""Reads tensors of every kind with the agent and compares with what numpy makes of them."""

import ctypes
import math
import sys

import numpy
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

agent = ctypes.PyDLL(sys.argv[1])


class Found(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_uint64) for name in ("hash_low", "hash_high", "zeros", "elements", "storage")],
        *[(name, ctypes.c_uint32) for name in ("nan", "inf")],
        *[(name, ctypes.c_float) for name in ("min", "max", "l2")],
        ("requires_grad", ctypes.c_uint32),
    ]


class Known(ctypes.Structure):
    _fields_ = [(name, ctypes.py_object) for name in ("a", "b", "c", "p", "deep", "meta")]


for name in ("probe_prove_tensors", "probe_prove_modes", "probe_look", "probe_look_grad"):
    getattr(agent, name).restype = ctypes.c_char_p
agent.probe_modes.restype = ctypes.c_uint32


def known():
    a = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 2.0)
    deep = torch.arange(14)[2:].reshape(1, 2, 1, 3, 1, 2)
    return {"a": a, "b": a.t(), "c": a.clone(), "p": p, "deep": deep, "meta": torch.empty(2, 3, device="meta")}


def look(tensor, probe="probe_look"):
    found = Found()
    why = getattr(agent, probe)(ctypes.py_object(tensor), ctypes.byref(found))
    return found if why is None else why.decode()


# The content hash, as agent/src/state/fingerprint/hash.rs defines it.
ONE = numpy.uint64(1)
GOLDEN = numpy.uint64(0x9E3779B97F4A7C15)


def mix(word):
    word = (word ^ (word >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return word ^ (word >> numpy.uint64(31))


def rotate(word, by):
    return (word << numpy.uint64(by)) | (word >> numpy.uint64(64 - by))


def halves(word):
    return (word & numpy.uint64(0xFFFFFFFF)) * (word >> numpy.uint64(32))


KEYS = mix(numpy.arange(1, 1024 + 9, dtype=numpy.uint64) * GOLDEN)


def content_hash(contents):
    low = high = numpy.uint64(0)
    with numpy.errstate(over="ignore"):
        for index, begin in enumerate(range(0, len(contents), 8192)):
            chunk = contents[begin : begin + 8192]
            words = numpy.frombuffer(chunk + bytes(-len(chunk) % 64), dtype=numpy.uint64)
            first = halves(words + KEYS[: len(words)]).sum(dtype=numpy.uint64)
            second = halves(words + KEYS[8 : 8 + len(words)]).sum(dtype=numpy.uint64)
            plain = words.sum(dtype=numpy.uint64)
            place = mix(plain + numpy.uint64(2 * index + 1) * GOLDEN)
            low += mix(first ^ place)
            high += mix(second + rotate(place, 32))
        length = mix(numpy.uint64(len(contents)) + GOLDEN)
        low = mix((low + length) ^ rotate(high, 32))
        return int(low), int(mix(high ^ length ^ rotate(low, 17)))


def values_of(tensor):
    """The logical contents as bytes, and as float64 numbers."""
    tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
    flat = tensor.reshape(-1)
    contents = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    if tensor.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return contents, flat.to(torch.float64).numpy()


def check(name, tensor, probe="probe_look", source=None):
    found = look(tensor, probe)
    assert not isinstance(found, str), f"{name}: {found}"
    contents, values = values_of(tensor if source is None else source)
    finite = values[numpy.isfinite(values)]
    expected = {
        "hash_low": content_hash(contents)[0],
        "hash_high": content_hash(contents)[1],
        "zeros": int((values == 0).sum()),
        "elements": values.size,
        "nan": int(numpy.isnan(values).sum()),
        "inf": int(numpy.isinf(values).sum()),
        "min": float(numpy.float32(finite.min())) if finite.size else 0.0,
        "max": float(numpy.float32(finite.max())) if finite.size else 0.0,
    }
    for field, value in expected.items():
        assert getattr(found, field) == value, f"{name}: {field} is {getattr(found, field)}, not {value}"
    norm = math.sqrt(float((finite * finite).sum()))
    assert abs(found.l2 - norm) <= 3e-6 * norm, f"{name}: norm is {found.l2}, not {norm}"
    return found


def refuse(name, tensor, reason):
    found = look(tensor)
    assert found == reason, f"{name}: {found if isinstance(found, str) else 'was read'}, not: {reason}"


wrong = known()
wrong["b"] = wrong["a"].clone()
why = agent.probe_prove_tensors(ctypes.byref(Known(**wrong)))
assert why and b"storage" in why, why
wrong = known()
wrong["p"].grad = None
why = agent.probe_prove_tensors(ctypes.byref(Known(**wrong)))
assert why and b"gradient" in why, why
wrong = {**known(), "a": [1, 2, 3]}
why = agent.probe_prove_tensors(ctypes.byref(Known(**wrong)))
assert why and b"Python tensor object" in why, why
why = agent.probe_prove_tensors(ctypes.byref(Known(**known())))
assert why is None, why

torch.manual_seed(0)
base = torch.randn(60, 70)
check("contiguous", base)
check("transposed", base.t())
check("sliced with an offset", base[3:17, 5:9])
check("with a step", base[::7, ::3])
check("expanded", base[:, :1].expand(60, 5))
check("flipped view of a complex tensor's part", torch.view_as_real(torch.randn(9, dtype=torch.complex64))[:, 1])
check("no elements", torch.empty(3, 0, 4))
check("no elements, odd strides", torch.empty(0, 5)[:, 1:3])
check("a scalar", torch.tensor(3.5))
check("channels last", torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last))
check("seven dimensions", torch.randn(2, 1, 3, 1, 2, 2, 3).permute(6, 0, 2, 1, 5, 3, 4))
check("many chunks", torch.randn(100_001))
special = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.5, -2.5, 1e-30, 3e38])
check("special values", special)
for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128):
    check(f"{dtype}", base.to(dtype))
    check(f"{dtype} transposed", base.to(dtype).t())
for dtype in (torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e5m2fnuz, torch.float8_e4m3fnuz):
    check(f"{dtype}", torch.arange(256, dtype=torch.uint8).view(dtype))
check("complex32", torch.view_as_complex(base.to(torch.float16).reshape(-1, 2)))
for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
    check(f"{dtype}", torch.randint(0, 100, (999,)).to(dtype) - 50)
for dtype in (torch.uint16, torch.uint32, torch.uint64):
    check(f"{dtype}", torch.from_numpy(numpy.arange(1000).astype(str(dtype)[6:])))
check("bool", base > 0)

same = torch.empty(70, 60).t()
same.copy_(base)
assert check("same contents, other strides", same).hash_low == look(base).hash_low
assert look(base).storage == look(base.t()).storage != look(base.clone()).storage
assert look(base.to_sparse()) == "it is not strided"

parameter = torch.nn.Parameter(torch.randn(40, 3))
assert check("a parameter", parameter).requires_grad == 1
assert look(parameter, "probe_look_grad") == "no gradient"
(parameter * 2).sum().backward()
found = check("a gradient", parameter, "probe_look_grad", parameter.grad)
assert found.min == found.max == 2.0
parameter.grad = None
assert look(parameter, "probe_look_grad") == "no gradient"
assert look(base).requires_grad == 0 and look(base, "probe_look_grad") == "no gradient"
assert look(parameter * 2).requires_grad == 1, "a tensor with a grad_fn"
embedding = torch.nn.Embedding(10, 4, sparse=True)
embedding(torch.tensor([1, 2])).sum().backward()
assert look(embedding.weight, "probe_look_grad") == "it is not strided"

refuse("meta", torch.empty(3, device="meta"), "it is on a device of type 14")
refuse("sparse", torch.eye(3).to_sparse(), "it is not strided")
refuse("sparse csr", torch.eye(3).to_sparse_csr(), "it is not strided")
with FakeTensorMode() as mode:
    fake = mode.from_tensor(torch.ones(3))
refuse("fake", fake, "it is on a device of type 14")
refuse("quantized", torch.quantize_per_tensor(base, 0.1, 0, torch.qint8), "it is not strided")
refuse("conjugated", torch.randn(3, dtype=torch.complex64).conj(), "it is not plain memory")
with torch.inference_mode():
    refuse("inference", torch.ones(3), "it is not plain memory")
freed = torch.ones(30)
freed.untyped_storage().resize_(0)
refuse("freed storage", freed, "its storage is not there")
short = torch.ones(30)
short.untyped_storage().resize_(50)
refuse("storage that is too short", short, "its storage is not there")
refuse("a type that is not known", torch.empty(3, dtype=torch.uint4), "its elements are of type 33")

GRAD, AUTOCAST, INFERENCE = 1, 8, 16
contexts = [torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)]


def switch(number):
    context = contexts[number // 2]
    context.__exit__(None, None, None) if number % 2 else context.__enter__()


Switch = ctypes.PYFUNCTYPE(None, ctypes.c_size_t)
with torch.no_grad():
    why = agent.probe_prove_modes(Switch(switch))
assert why == b"the modes of a new thread are not the defaults", why
why = agent.probe_prove_modes(Switch(lambda number: None))
assert why == b"known modes are not read correctly", why
why = agent.probe_prove_modes(Switch(switch))
assert why is None, why
assert agent.probe_modes() == GRAD
with torch.no_grad():
    assert agent.probe_modes() == 0
with torch.inference_mode():
    assert agent.probe_modes() == INFERENCE
with torch.autocast("cpu", dtype=torch.bfloat16):
    assert agent.probe_modes() == GRAD | AUTOCAST

if len(sys.argv) > 2:
    for count in (1, 10, 100, 1000):
        times = (ctypes.c_double * 3)()
        agent.probe_time(ctypes.py_object(torch.nn.Parameter(torch.randn(count))), times)
        view, fingerprint, grad = times
        print(f"{count} elements: view {view:.1f} ns, with fingerprint {fingerprint:.1f} ns, grad {grad:.1f} ns")
print("read")
