"""Learners of fastai: tables, images, and a network whose head is trained before the rest."""

import pandas
import torch
from fastai.basics import DataLoaders, Learner, accuracy
from fastai.callback.all import EarlyStoppingCallback, GradientAccumulation, GradientClip, MixUp, ReduceLROnPlateau, SaveModelCallback
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD, Adam, ranger
from fastai.tabular.all import CategoryBlock, Categorify, FillMissing, Normalize, TabularDataLoaders, tabular_learner
from fastai.vision.all import xresnet18

from driver import CLASSES, images, options, table

args = options(
    task="table", batch_size=16, epochs=6, lr=5e-3, width=32, optimizer="Adam", method="cycle", accumulate=0, clip=0.0,
    keep=False, plateau=False, mixup=False, learner={}, resume=False,
)  # fmt: skip

callbacks = []
if args.accumulate:
    callbacks.append(GradientAccumulation(args.accumulate))
if args.clip:
    callbacks.append(GradientClip(args.clip))
if args.keep:
    callbacks += [SaveModelCallback(), EarlyStoppingCallback(patience=4)]
if args.plateau:
    callbacks.append(ReduceLROnPlateau(patience=1))
if args.mixup:
    callbacks.append(MixUp())
common = {
    "opt_func": {"Adam": Adam, "SGD": SGD, "ranger": ranger}[args.optimizer],
    "metrics": accuracy,
    "cbs": callbacks,
    "path": ".",
} | args.learner


def of_a_table():
    x, y = table(400)
    rows = pandas.DataFrame(x.numpy(), columns=[f"x{n}" for n in range(x.shape[1])])
    rows["kind"] = (rows["x0"] > 0).map({True: "high", False: "low"})
    rows["label"] = y.numpy()
    loaders = TabularDataLoaders.from_df(
        rows,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=["kind"],
        cont_names=list(rows.columns[:12]),
        y_names="label",
        y_block=CategoryBlock(),
        bs=args.batch_size,
        device=torch.device("cpu"),
    )
    return tabular_learner(loaders, layers=[args.width, args.width // 2], **common)


def of_images():
    loaders = DataLoaders.from_dsets(
        torch.utils.data.TensorDataset(*images(256, 32)),
        torch.utils.data.TensorDataset(*images(64, 32)),
        bs=args.batch_size,
        device=torch.device("cpu"),
    )
    model = xresnet18(n_out=CLASSES, stem_szs=(8, 8, 64), widen=args.width / 128)

    def parts(model):
        *body, head = model.children()
        return [[one for part in body for one in part.parameters()], list(head.parameters())]

    return Learner(loaders, model, loss_func=CrossEntropyLossFlat(), splitter=parts, **common)


learner = of_a_table() if args.task == "table" else of_images()
if args.resume:
    learner.load("last", with_opt=True)
if args.method == "cycle":
    learner.fit_one_cycle(args.epochs, args.lr)
elif args.method == "flat":
    learner.fit_flat_cos(args.epochs, args.lr)
elif args.method == "tune":
    learner.fine_tune(args.epochs - 2, args.lr, freeze_epochs=2)
elif args.method == "find":
    learner.fit_one_cycle(args.epochs, learner.lr_find(num_it=40, show_plot=False).valley)
else:
    learner.fit(args.epochs, args.lr)
learner.save("last")
