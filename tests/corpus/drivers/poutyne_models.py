"""The Model of Poutyne, with its callbacks."""

import poutyne
import torch

from driver import CLASSES, curve, options, table

args = options(
    task="classify", width=32, dropout=0.1, optimizer="adam", lr=5e-3, schedule="", clip=0.0, patience=0, evaluate=False,
    fit={}, save=False, resume=False,
)  # fmt: skip

classify = args.task == "classify"
x, y = table(400) if classify else curve(400)
outputs = CLASSES if classify else 1
network = torch.nn.Sequential(
    torch.nn.Linear(x.shape[1], args.width), torch.nn.BatchNorm1d(args.width), torch.nn.ReLU(),
    torch.nn.Dropout(args.dropout), torch.nn.Linear(args.width, outputs),
)  # fmt: skip
callbacks = []
if args.schedule == "exponential":
    callbacks.append(poutyne.ExponentialLR(gamma=0.8))
elif args.schedule == "plateau":
    callbacks.append(poutyne.ReduceLROnPlateau(monitor="val_loss", patience=1))
if args.clip:
    callbacks.append(poutyne.ClipNorm(network.parameters(), max_norm=args.clip))
if args.patience:
    callbacks.append(poutyne.EarlyStopping(patience=args.patience))
model = poutyne.Model(
    network,
    getattr(torch.optim, {"adam": "Adam", "sgd": "SGD", "adamw": "AdamW"}[args.optimizer])(network.parameters(), lr=args.lr),
    "cross_entropy" if classify else "mse",
    batch_metrics=["accuracy"] if classify else [],
)
if args.resume:
    model.load_weights("weights.pt")
    model.load_optimizer_state("optimizer.pt")
settings = {"epochs": 8, "batch_size": 24, "verbose": False} | args.fit
wanted = args.evaluate or args.patience or args.schedule == "plateau"
held = {"validation_data": (x[320:], y[320:])} if wanted else {}
print(model.fit(x[:320], y[:320], callbacks=callbacks, **held, **settings)[-1])
if args.save:
    model.save_weights("weights.pt")
    model.save_optimizer_state("optimizer.pt")
