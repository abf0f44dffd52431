"""A classifier of skorch, with its callbacks."""

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EarlyStopping, GradientNormClipping, LRScheduler

from driver import CLASSES, options, table

args = options(
    width=32, depth=2, dropout=0.2, optimizer="Adam", clip=0.0, schedule="", patience=0, checkpoints=False, net={},
    resume=False,
)  # fmt: skip


class Layers(torch.nn.Module):
    def __init__(self, width, depth, dropout):
        super().__init__()
        layers, before = [], 12
        for _ in range(depth):
            layers += [torch.nn.Linear(before, width), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
            before = width
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(before, CLASSES))

    def forward(self, x):
        return self.layers(x)


callbacks = []
if args.clip:
    callbacks.append(GradientNormClipping(args.clip))
if args.schedule:
    more = {"step_size": 2} if args.schedule == "StepLR" else {"T_max": 5}
    callbacks.append(LRScheduler(getattr(torch.optim.lr_scheduler, args.schedule), **more))
if args.patience:
    callbacks.append(EarlyStopping(patience=args.patience))
if args.checkpoints:
    callbacks.append(Checkpoint(dirname="checkpoints", load_best=True))
settings = {"lr": 0.01, "batch_size": 24, "max_epochs": 8} | args.net
net = NeuralNetClassifier(
    Layers,
    module__width=args.width,
    module__depth=args.depth,
    module__dropout=args.dropout,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=getattr(torch.optim, args.optimizer),
    callbacks=callbacks,
    **settings,
)
x, y = table(400)
files = {"f_params": "params.pt", "f_optimizer": "optimizer.pt", "f_history": "history.json"}
if args.resume:
    net.initialize()
    net.load_params(**files)
    net.partial_fit(x, y)
else:
    net.fit(x, y)
    net.save_params(**files)
print("accuracy", net.score(x, y))
