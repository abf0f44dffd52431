"""A small training in which, in some iterations, the optimizer steps unseen, and in one a backward runs unseen, after one
that left no numbers and that no step followed: `nested`, deep inside of other calls; `recursion`, while another thread has
nearly used up its stack; `taken`, after the agent was taken its place as a tool of `sys.monitoring`; `silenced`, after it
was taken its events; `stopped`, behind a function at which a rule has the recording end. `plain`: all is seen."""

import sys
import threading

import torch
from torch import nn

MODE, SEED = sys.argv[1], int(sys.argv[2])


def ping(depth, action):
    return action() if depth == 0 else pong(depth - 1, action)


def pong(depth, action):
    return action() if depth == 0 else ping(depth - 1, action)


def nested(action):
    ping(600, action)


def down(depth, action):
    return action() if depth == 0 else down(depth - 1, action)


def recursion(action):
    at_the_bottom, goes_on = threading.Event(), threading.Event()

    def wait():
        at_the_bottom.set()
        goes_on.wait()

    deep = threading.Thread(target=down, args=(20000, wait))
    deep.start()
    at_the_bottom.wait()
    action()
    goes_on.set()
    deep.join()


def tools():
    return [tool for tool in range(6) if sys.monitoring.get_tool(tool) == "traincheck"]


def taken(action):
    for tool in tools():
        sys.monitoring.free_tool_id(tool)
    plain(action)


def silenced(action):
    for tool in tools():
        sys.monitoring.set_events(tool, 0)
    plain(action)


def stopped(action):
    plain(action)


def plain(action):
    action()


def main():
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for number in range(30):
        optimizer.zero_grad()
        loss = model(torch.randn(8, 4)).square().mean()
        if number == 17:
            # Left out, as a script does that looks at its loss.
            (loss * float("nan")).backward()
            continue
        if number == 18:
            globals()[MODE](loss.backward)
        else:
            loss.backward()
        if 8 <= number < 12:
            globals()[MODE](optimizer.step)
        else:
            optimizer.step()
        print(f"iteration {number} done: {loss.item()!r}", flush=True)
    print(repr(sum(parameter.double().sum().item() for parameter in model.parameters())))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.setrecursionlimit(60000)
    threading.stack_size(4 << 20)
    main()
