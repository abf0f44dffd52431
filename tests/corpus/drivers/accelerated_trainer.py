"""The Trainer of pytorch-accelerated on models of timm."""

from functools import partial

import timm
import torch
from pytorch_accelerated import Trainer, TrainerPlaceholderValues
from pytorch_accelerated.callbacks import EarlyStoppingCallback, ModelEmaCallback, SaveBestModelCallback
from pytorch_accelerated.trainer import DEFAULT_CALLBACKS
from torch.utils.data import TensorDataset

from driver import CLASSES, images, options

args = options(
    model="resnet10t", size=32, samples=192, lr=2e-3, optimizer="AdamW", schedule="", average=False, patience=0,
    model_options={}, train={}, save=False, resume=False,
)  # fmt: skip

model = timm.create_model(args.model, pretrained=False, num_classes=CLASSES, **args.model_options)
optimizer = getattr(torch.optim, args.optimizer)(model.parameters(), lr=args.lr)
callbacks = list(DEFAULT_CALLBACKS)
if args.average:
    callbacks.append(ModelEmaCallback(decay=0.9))
if args.patience:
    callbacks.append(EarlyStoppingCallback(early_stopping_patience=args.patience))
if args.save:
    callbacks.append(SaveBestModelCallback(save_path="best.pt", watch_metric="train_loss_epoch", greater_is_better=False))
trainer = Trainer(model, torch.nn.CrossEntropyLoss(), optimizer, callbacks=callbacks)
if args.resume:
    trainer.load_checkpoint("best.pt")
schedule = None
if args.schedule:
    schedule = partial(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=args.lr,
        epochs=TrainerPlaceholderValues.NUM_EPOCHS,
        steps_per_epoch=TrainerPlaceholderValues.NUM_UPDATE_STEPS_PER_EPOCH,
    )
settings = {"num_epochs": 5, "per_device_batch_size": 16} | args.train
trainer.train(
    TensorDataset(*images(args.samples, args.size)),
    eval_dataset=TensorDataset(*images(48, args.size)),
    create_scheduler_fn=schedule,
    train_dataloader_kwargs={"num_workers": 0, "shuffle": True},
    eval_dataloader_kwargs={"num_workers": 0},
    **settings,
)
