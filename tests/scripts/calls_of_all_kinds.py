"""Calls of every kind there is, each of which must be recorded in the same way by every interpreter."""

import asyncio
import contextlib
import functools
import sys
import threading

import torch


def leaf(value=0):
    return value + 1


def nested():
    return leaf(leaf(1))


class Thing:
    scale = 2

    def __init__(self, value):
        self.value = leaf(value)

    def method(self):
        return self.helper()

    def helper(self):
        return leaf(self.value)

    @classmethod
    def make(cls):
        return cls(3)

    @staticmethod
    def still():
        return leaf()

    @property
    def shown(self):
        return leaf(self.value)

    def __len__(self):
        return leaf()


class Special(Thing):
    def method(self):
        return super().method()


def raises():
    leaf()
    raise ValueError("on purpose")


def passes_on():
    raises()


def catches():
    try:
        passes_on()
    except ValueError:
        return leaf()


def cleans_up():
    try:
        raises()
    finally:
        leaf()


def recursive(depth):
    return leaf() if depth == 0 else recursive(depth - 1)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@decorated
def wrapped(value):
    return leaf(value)


def closes_over(first):
    def inner(second):
        return leaf(first + second)

    return inner(1) + (lambda third: leaf(third))(2)


def comprehends():
    listed = [leaf(i) for i in range(2)]
    keyed = {i: leaf(i) for i in range(2)}
    unique = {leaf(i) for i in range(2)}
    return len(listed) + len(keyed) + len(unique) + sum(leaf(i) for i in range(2))


def called_back():
    return sorted([2, 1], key=leaf)


def counts(n):
    for i in range(n):
        leaf(i)
        yield i
    leaf()


def delegates():
    leaf()
    result = yield from counts(2)
    leaf()
    return result


def guarded():
    try:
        yield 1
        yield 2
    except KeyError:
        leaf()
        yield 3
    finally:
        leaf()


def closes_quietly():
    try:
        yield 1
    finally:
        pass


def fails():
    yield 1
    raises()


def answers():
    got = yield 0
    while got:
        got = yield leaf(got)


def exhaust():
    return list(counts(2))


def take_one():
    return next(counts(5))


def drop_unused():
    counts(1)


def close_plain():
    generator = counts(5)
    next(generator)
    generator.close()
    leaf()


def close_guarded():
    for make in (guarded, closes_quietly):
        generator = make()
        next(generator)
        generator.close()
        leaf()


def throw_in():
    generator = guarded()
    next(generator)
    generator.throw(KeyError)
    leaf()
    with contextlib.suppress(StopIteration):
        next(generator)
    generator = delegates()
    next(generator)
    with contextlib.suppress(RuntimeError):
        generator.throw(RuntimeError)
    generator = counts(2)
    with contextlib.suppress(RuntimeError):
        generator.throw(RuntimeError)


def through(inner):
    return (yield from inner)


def throw_through():
    """What is thrown in ends the inner one, and the outer one goes on."""
    generator = through(guarded())
    next(generator)
    generator.throw(KeyError)
    with contextlib.suppress(StopIteration):
        next(generator)

    def ends():
        try:
            yield 1
        except KeyError:
            return leaf()

    def around():
        value = yield from ends()
        yield leaf(value)

    generator = around()
    next(generator)
    generator.throw(KeyError)
    leaf()
    generator.close()


def send_in():
    generator = answers()
    next(generator)
    generator.send(5)
    generator.send(6)
    with contextlib.suppress(StopIteration):
        generator.send(0)


def fail_within():
    try:
        list(fails())
    except ValueError:
        leaf()


def resumed_elsewhere():
    generator = counts(3)
    next(generator)

    def consume():
        next(generator)

    consume()
    thread = threading.Thread(target=consume)
    thread.start()
    thread.join()
    list(generator)


def interleaved():
    for one, two in zip(counts(2), counts(3)):
        leaf(one + two)


@contextlib.contextmanager
def manager():
    leaf()
    yield
    leaf()


def with_manager():
    with manager():
        leaf()
    try:
        with manager():
            raises()
    except ValueError:
        pass


async def sleeps(n):
    for i in range(n):
        leaf(i)
        await asyncio.sleep(0)
    return n


async def produces(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield leaf(i)


class Context:
    async def __aenter__(self):
        await asyncio.sleep(0)
        return leaf()

    async def __aexit__(self, *details):
        leaf()


async def awaits():
    await sleeps(1)
    async with Context():
        leaf()
    async for value in produces(2):
        leaf(value)
    return [value async for value in produces(2)]


async def main():
    await asyncio.gather(sleeps(2), sleeps(1))
    await awaits()
    task = asyncio.create_task(sleeps(50))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def everything():
    nested()
    thing = Thing.make()
    thing.method(), thing.shown, len(thing), Thing.still(), Special(1).method()
    catches()
    for broken in (raises, cleans_up):
        try:
            broken()
        except ValueError:
            leaf()
    recursive(3)
    wrapped(1)
    closes_over(1)
    comprehends()
    called_back()
    with contextlib.suppress(RecursionError):
        deep()


def deep():
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(120)
    try:
        endless(0)
    finally:
        sys.setrecursionlimit(old)


def endless(depth):
    # A call of C code between Python calls.
    return max([depth], key=lambda value: endless(value + 1) if value < 3 else leaf())


def generators():
    exhaust()
    take_one()
    drop_unused()
    close_plain()
    close_guarded()
    throw_in()
    throw_through()
    send_in()
    fail_within()
    resumed_elsewhere()
    interleaved()
    with_manager()


weight = torch.nn.Parameter(torch.ones(1))
optimizer = torch.optim.SGD([weight], lr=0.1)
model = torch.nn.Linear(1, 1)


def next_iteration():
    """Functions that are called too often in one iteration are no longer recorded."""
    model(torch.ones(1)).backward()


next_iteration()
everything()
next_iteration()
generators()
next_iteration()
asyncio.run(main())
print("done")
