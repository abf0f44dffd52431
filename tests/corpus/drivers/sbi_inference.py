"""The inference of sbi: densities of parameters, of likelihoods and of ratios, from simulations made here."""

import sbi.inference
import torch
from sbi.utils import BoxUniform

from driver import options

args = options(
    method="NPE", samples=400, features=3, rounds=1, estimator="", hidden=24, transforms=2, train={}, resume=False
)
prior = BoxUniform(-2 * torch.ones(args.features), 2 * torch.ones(args.features))


def simulate(theta):
    return theta + 0.3 * theta.roll(1, -1) ** 2 + 0.1 * torch.randn_like(theta)


if args.method == "NRE":
    from sbi.neural_nets import classifier_nn

    inference = sbi.inference.NRE(prior, classifier=classifier_nn(args.estimator or "resnet", hidden_features=args.hidden))
else:
    from sbi.neural_nets import likelihood_nn, posterior_nn

    build = posterior_nn if args.method == "NPE" else likelihood_nn
    network = build(args.estimator or "maf", hidden_features=args.hidden, num_transforms=args.transforms)
    inference = getattr(sbi.inference, args.method)(prior, density_estimator=network)
settings = {
    "training_batch_size": 32,
    "learning_rate": 1e-3,
    "max_num_epochs": 12,
    "stop_after_epochs": 5,
    "validation_fraction": 0.2,
    "show_train_summary": False,
} | args.train
theta = prior.sample((args.samples,))
inference.append_simulations(theta, simulate(theta)).train(**settings)
if args.resume:
    inference.train(resume_training=True, **settings | {"max_num_epochs": 2 * settings["max_num_epochs"]})
print("validation loss", inference.summary["best_validation_loss"][-1])
