"""The fit of pytorch-tabnet: a classifier, a regressor, or pretraining without labels."""

import numpy
import torch
from pytorch_tabnet.pretraining import TabNetPretrainer
from pytorch_tabnet.tab_model import TabNetClassifier, TabNetRegressor

from driver import curve, options, table

args = options(model="classifier", lr=0.02, optimizer="Adam", schedule="", pretrained=False, model_options={}, fit={})
x, y = table(512) if args.model != "regressor" else curve(512, 12)
x, y = x.numpy(), y.numpy()
train, held = (x[:384], y[:384]), (x[384:], y[384:])
settings = {
    "n_d": 8,
    "n_a": 8,
    "n_steps": 3,
    "seed": args.seed,
    "device_name": "cpu",
    "optimizer_fn": getattr(torch.optim, args.optimizer),
    "optimizer_params": {"lr": args.lr},
} | args.model_options
if args.schedule == "step":
    settings |= {"scheduler_fn": torch.optim.lr_scheduler.StepLR, "scheduler_params": {"step_size": 3, "gamma": 0.5}}
fit = {"max_epochs": 8, "batch_size": 64, "virtual_batch_size": 32, "num_workers": 0} | args.fit
if args.schedule == "cycle":
    steps = {"max_lr": args.lr, "steps_per_epoch": len(train[0]) // fit["batch_size"], "epochs": fit["max_epochs"]}
    settings |= {"scheduler_fn": torch.optim.lr_scheduler.OneCycleLR, "scheduler_params": steps | {"is_batch_level": True}}
if args.model == "pretraining" or args.pretrained:
    first = TabNetPretrainer(**settings)
    first.fit(train[0], eval_set=[held[0]], **fit)
    if args.pretrained:
        fit["from_unsupervised"] = first
if args.model != "pretraining":
    model = (TabNetClassifier if args.model == "classifier" else TabNetRegressor)(**settings)
    model.fit(*train, eval_set=[held], **fit)
    print("predicted", numpy.shape(model.predict(held[0])))
