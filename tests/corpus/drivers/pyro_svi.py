"""Stochastic variational inference of Pyro: a regression, with guides that Pyro makes."""

import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.infer.autoguide
import pyro.optim
import torch

from driver import curve, options

args = options(
    guide="AutoNormal", loss="Trace_ELBO", particles=1, steps=200, batch_size=0, lr=0.02, optimizer="Adam", schedule=False,
    clip=0.0, hidden=8, samples=120,
)  # fmt: skip
x, y = curve(args.samples, 3)


def model(x, y):
    first = pyro.sample("first", dist.Normal(torch.zeros(3, args.hidden), 1.0).to_event(2))
    second = pyro.sample("second", dist.Normal(torch.zeros(args.hidden), 0.5).to_event(1))
    noise = pyro.sample("noise", dist.LogNormal(-1.0, 0.5))
    with pyro.plate("rows", len(x), subsample_size=args.batch_size or None) as rows:
        mean = torch.tanh(x[rows] @ first) @ second
        pyro.sample("y", dist.Normal(mean, noise), obs=y[rows, 0])


pyro.set_rng_seed(args.seed)
pyro.clear_param_store()
guide = getattr(pyro.infer.autoguide, args.guide)(pyro.poutine.block(model, hide=["y"]))
settings = {"lr": args.lr}
if args.schedule:
    optimizer = pyro.optim.ExponentialLR(
        {"optimizer": getattr(torch.optim, args.optimizer), "optim_args": settings, "gamma": 0.99}
    )
elif args.clip:
    optimizer = getattr(pyro.optim, args.optimizer)(settings, {"clip_norm": args.clip})
else:
    optimizer = getattr(pyro.optim, args.optimizer)(settings)
svi = pyro.infer.SVI(model, guide, optimizer, getattr(pyro.infer, args.loss)(num_particles=args.particles))
for step in range(args.steps):
    loss = svi.step(x, y)
    if args.schedule:
        optimizer.step()
    if step % 50 == 0:
        print(step, loss, svi.evaluate_loss(x, y))
