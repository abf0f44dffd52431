"""The fit of BoTorch by an optimizer of PyTorch: Gaussian processes of several kinds, and what they suggest."""

from functools import partial

import torch
from botorch.fit import fit_gpytorch_mll_torch
from botorch.models import SingleTaskGP, SingleTaskVariationalGP
from botorch.models.transforms import Normalize, Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood, VariationalELBO

from driver import curve, options

args = options(model="exact", samples=40, features=2, steps=120, lr=0.05, optimizer="Adam", schedule=False, rounds=2, kernel="")
torch.set_default_dtype(torch.float64)
x, _ = curve(args.samples, max(args.features, 3))
x = x[:, : args.features].double()
y = torch.sin(4 * x[:, :1]) + x[:, -1:] ** 2 + 0.05 * torch.randn(args.samples, 1, dtype=torch.float64)
for _ in range(args.rounds):
    if args.model == "exact":
        more = {}
        if args.kernel:
            import gpytorch

            kernel = getattr(gpytorch.kernels, args.kernel)(ard_num_dims=args.features)
            more["covar_module"] = gpytorch.kernels.ScaleKernel(kernel)
        model = SingleTaskGP(x, y, outcome_transform=Standardize(1), input_transform=Normalize(args.features), **more)
        mll = ExactMarginalLogLikelihood(model.likelihood, model)
    else:
        model = SingleTaskVariationalGP(x, y, inducing_points=12)
        mll = VariationalELBO(model.likelihood, model.model, num_data=args.samples)
    schedule = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.99) if args.schedule else None
    found = fit_gpytorch_mll_torch(
        mll,
        optimizer=partial(getattr(torch.optim, args.optimizer), lr=args.lr),
        scheduler=schedule,
        step_limit=args.steps,
        stopping_criterion=None,
    )
    print(found.status, float(found.fval))
    # One more point, where the model is least certain.
    points = torch.rand(64, args.features)
    spread = model.posterior(points).variance.flatten()
    best = points[spread.argmax()][None]
    x = torch.cat([x, best.detach()])
    y = torch.cat([y, (torch.sin(4 * best[:, :1]) + best[:, -1:] ** 2).detach()])
