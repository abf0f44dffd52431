"""The Model of DeepXDE: a differential equation, or a function from samples."""

from pathlib import Path

import deepxde as dde
import numpy
import torch

from driver import options

args = options(
    problem="equation", width=20, depth=2, activation="tanh", lr=2e-3, optimizer="adam", iterations=200, points=32,
    schedule=False, then="", net={}, compile={}, save=False, resume=False,
)  # fmt: skip
dde.config.set_random_seed(args.seed)
layers = [1] + [args.width] * args.depth + [1]
net = dde.nn.FNN(layers, args.activation, "Glorot uniform", **args.net)
if args.problem == "equation":
    interval = dde.geometry.Interval(-1, 1)

    def equation(x, y):
        return -dde.grad.hessian(y, x) - numpy.pi**2 * torch.sin(numpy.pi * x)

    edge = dde.icbc.DirichletBC(interval, lambda x: 0, lambda _, on_boundary: on_boundary)
    data = dde.data.PDE(
        interval, equation, edge, args.points, 2, solution=lambda x: numpy.sin(numpy.pi * x), num_test=50
    )
else:
    data = dde.data.Function(dde.geometry.Interval(-1, 1), lambda x: x * numpy.sin(5 * x), args.points, 50)
model = dde.Model(data, net)
decay = {"decay": ("step", 50, 0.7)} if args.schedule else {}
model.compile(args.optimizer, lr=args.lr, metrics=["l2 relative error"], **decay, **args.compile)
model.train(
    iterations=args.iterations,
    display_every=50,
    model_restore_path=str(next(Path().glob("kept-*.pt"))) if args.resume else None,
    model_save_path="kept" if args.save else None,
)
if args.then:
    dde.optimizers.set_LBFGS_options(maxiter=60)
    model.compile(args.then)
    model.train(display_every=20)
