"""Trains while other tools that watch Python calls are at work, and says what they saw."""

import cProfile
import pstats
import sys

import numpy.random
import torch


def work(value):
    return value * 2


def train(steps):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        loss = model(torch.full((2, 2), float(work(step)))).sum()
        loss.backward()
        optimizer.step()
    return loss.item()


def calls_of(profile):
    stats = pstats.Stats(profile).stats
    return sum(entry[0] for (_, _, name), entry in stats.items() if name == "work")


profile = cProfile.Profile()
profile.enable()
torch.manual_seed(1)
print("loss", train(3))
profile.disable()
print("profiled", calls_of(profile))
# Whose code ran in the middle of the training that nobody here called.
print("run by traincheck", [function for function in pstats.Stats(profile).stats if function[0] == "<traincheck>"])

traced = []


def trace(frame, event, argument):
    if frame.f_code is work.__code__:
        traced.append(event)
        return trace


sys.settrace(trace)
print("loss", train(3))
sys.settrace(None)
print("traced", traced)

if hasattr(sys, "monitoring"):
    monitored = []
    monitoring = sys.monitoring
    monitoring.use_tool_id(monitoring.COVERAGE_ID, "other")
    events = monitoring.events

    def started(code, offset):
        if code is work.__code__:
            monitored.append("start")
            return None
        return monitoring.DISABLE

    def returned(code, offset, result):
        if code is work.__code__:
            monitored.append(result)

    monitoring.register_callback(monitoring.COVERAGE_ID, events.PY_START, started)
    monitoring.register_callback(monitoring.COVERAGE_ID, events.PY_RETURN, returned)
    monitoring.set_events(monitoring.COVERAGE_ID, events.PY_START | events.PY_RETURN)
    print("loss", train(3))
    monitoring.restart_events()
    print("loss", train(3))
    monitoring.set_events(monitoring.COVERAGE_ID, 0)
    monitoring.free_tool_id(monitoring.COVERAGE_ID)
    print("monitored", monitored)

print("loss", train(3))
