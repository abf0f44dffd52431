"""The trainers of pytorch-metric-learning: a trunk and an embedder, with losses, miners and classifiers."""

import torch
from pytorch_metric_learning import losses, miners, samplers, trainers
from torch.utils.data import TensorDataset

from driver import CLASSES, images, options

args = options(
    trainer="MetricLossOnly", loss="TripletMarginLoss", miner="", batch_size=16, epochs=6, lr=2e-3, width=16, embedding=8,
    optimizer="Adam", iterations=16, schedule=False, clip=0.0, per_class=0, freeze=False, settings={},
)  # fmt: skip

width = args.width
models = {
    "trunk": torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 3, 2, 1), torch.nn.BatchNorm2d(width), torch.nn.ReLU(),
        torch.nn.Conv2d(width, width, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(),
    ),
    "embedder": torch.nn.Linear(16 * width, args.embedding),
}  # fmt: skip
found, extra = {"metric_loss": getattr(losses, args.loss)()}, {}
if args.trainer == "TrainWithClassifier":
    models["classifier"] = torch.nn.Linear(args.embedding, CLASSES)
    found["classifier_loss"] = torch.nn.CrossEntropyLoss()
Optimizer = getattr(torch.optim, args.optimizer)
optimizers = {f"{name}_optimizer": Optimizer(model.parameters(), lr=args.lr) for name, model in models.items()}
if args.schedule:
    extra["lr_schedulers"] = {
        "trunk_scheduler_by_epoch": torch.optim.lr_scheduler.StepLR(optimizers["trunk_optimizer"], 2, 0.5),
        "embedder_scheduler_by_iteration": torch.optim.lr_scheduler.ExponentialLR(optimizers["embedder_optimizer"], 0.99),
    }
if args.clip:
    extra["gradient_clippers"] = {
        f"{name}_grad_clipper": lambda model=model: torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        for name, model in models.items()
    }
if args.freeze:
    extra["freeze_these"] = ["trunk"]
x, y = images(256)
trainer = getattr(trainers, args.trainer)(
    models=models,
    optimizers=optimizers,
    batch_size=args.batch_size,
    loss_funcs=found,
    dataset=TensorDataset(x, y),
    mining_funcs={"tuple_miner": getattr(miners, args.miner)()} if args.miner else {},
    data_device=torch.device("cpu"),
    iterations_per_epoch=args.iterations,
    sampler=samplers.MPerClassSampler(y, args.per_class, length_before_new_iter=256) if args.per_class else None,
    dataloader_num_workers=0,
    **extra,
    **args.settings,
)
trainer.train(num_epochs=args.epochs)
