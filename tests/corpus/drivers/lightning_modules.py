"""The Trainer of Lightning with a small classifier of images, or with an autoencoder."""

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging
from torch.utils.data import DataLoader, TensorDataset

from driver import CLASSES, images, options

args = options(
    task="classify", batch_size=16, lr=3e-3, width=8, dropout=0.1, optimizer="AdamW", schedule="", averaging=False,
    workers=0, trainer={}, resume=False,
)  # fmt: skip


class Small(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        nn, width = torch.nn, args.width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU()
        )
        if args.task == "classify":
            self.head = nn.Sequential(nn.Flatten(), nn.Dropout(args.dropout), nn.Linear(2 * width * 16, CLASSES))
        else:
            self.head = nn.Sequential(
                nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1)
            )

    def loss(self, batch):
        found = self.head(self.encoder(batch[0]))
        return F.cross_entropy(found, batch[1]) if args.task == "classify" else F.mse_loss(found, batch[0])

    def training_step(self, batch, _):
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        optimizer = getattr(torch.optim, args.optimizer)(self.parameters(), lr=args.lr)
        schedulers = torch.optim.lr_scheduler
        if args.schedule == "epoch":
            return [optimizer], [schedulers.StepLR(optimizer, 2, 0.5)]
        if args.schedule == "step":
            made = schedulers.OneCycleLR(optimizer, args.lr, total_steps=int(self.trainer.estimated_stepping_batches))
            return [optimizer], [{"scheduler": made, "interval": "step"}]
        if args.schedule == "plateau":
            made = schedulers.ReduceLROnPlateau(optimizer, patience=1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": made, "monitor": "val_loss"}}
        return optimizer


lightning.seed_everything(args.seed)
callbacks = [ModelCheckpoint("checkpoints", save_last=True), EarlyStopping("val_loss", patience=4)]
if args.averaging:
    callbacks.append(StochasticWeightAveraging(1e-3, swa_epoch_start=0.6))
settings = {
    "max_epochs": 6,
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
} | args.trainer
trainer = lightning.Trainer(callbacks=callbacks, **settings)
loaders = [
    DataLoader(TensorDataset(*images(count)), args.batch_size, shuffle=shuffle, num_workers=args.workers)
    for count, shuffle in [(256, True), (64, False)]
]
trainer.fit(Small(), *loaders, ckpt_path="checkpoints/last.ckpt" if args.resume else None)
print("loss", float(trainer.callback_metrics["train_loss"]))
