"""The epochs of segmentation-models-pytorch, on encoders without weights."""

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.utils import losses, metrics
from segmentation_models_pytorch.utils.train import TrainEpoch, ValidEpoch
from torch.utils.data import DataLoader, TensorDataset

from driver import masked_images, options

args = options(
    architecture="Unet", encoder="mobilenet_v2", batch_size=8, epochs=4, lr=1e-3, optimizer="Adam", loss="DiceLoss",
    samples=128, evaluate=1, schedule=False, model={}, save=False, resume=False,
)  # fmt: skip

settings = {"encoder_weights": None, "activation": "sigmoid"} | args.model
model = getattr(smp, args.architecture)(args.encoder, classes=1, **settings)
optimizer = getattr(torch.optim, args.optimizer)(model.parameters(), lr=args.lr)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5) if args.schedule else None
if args.resume:
    saved = torch.load("last.pt")
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
train = DataLoader(TensorDataset(*masked_images(args.samples)), args.batch_size, shuffle=True)
held = DataLoader(TensorDataset(*masked_images(32)), 16)
common = {"loss": getattr(losses, args.loss)(), "metrics": [metrics.IoU(threshold=0.5)], "device": "cpu"}
training = TrainEpoch(model, optimizer=optimizer, verbose=False, **common)
validation = ValidEpoch(model, verbose=False, **common)
for epoch in range(args.epochs):
    print(epoch, training.run(train))
    if args.evaluate and epoch % args.evaluate == 0:
        print(epoch, validation.run(held))
    if schedule:
        schedule.step()
if args.save:
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
