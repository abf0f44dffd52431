"""The engines of MONAI: segmentation of small volumes, with an evaluator and handlers."""

import monai
import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import CheckpointLoader, CheckpointSaver, LrScheduleHandler, MeanDice, StatsHandler, ValidationHandler, from_engine
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.transforms import AsDiscreted, Compose, RandFlipd, RandGaussianNoised

from driver import options

args = options(
    network="UNet", batch_size=4, epochs=8, lr=3e-3, width=4, dropout=0.1, samples=48, loss="DiceLoss", schedule=False,
    evaluate=2, augment=False, sliding=False, trainer={}, save=False, resume=False,
)  # fmt: skip


def volumes(count, size=16):
    """Noise with a bright block, and where it is."""
    found = []
    for _ in range(count):
        image, label = 0.3 * torch.rand(1, size, size, size), torch.zeros(1, size, size, size)
        a, b, c = (int(n) for n in torch.randint(0, size // 2, (3,)))
        label[:, a : a + 6, b : b + 6, c : c + 6] = 1
        found.append({"image": image + 0.5 * label, "label": label})
    return found


monai.utils.set_determinism(args.seed)
augmented = [RandFlipd(["image", "label"], 0.5), RandGaussianNoised("image", 0.5)] if args.augment else []
train = monai.data.DataLoader(
    monai.data.CacheDataset(volumes(args.samples), Compose(augmented), progress=False), batch_size=args.batch_size, shuffle=True
)
held = monai.data.DataLoader(monai.data.Dataset(volumes(8)), batch_size=4)
channels = (args.width, 2 * args.width, 4 * args.width)
if args.network == "UNet":
    network = monai.networks.nets.UNet(3, 1, 1, channels, (2, 2), num_res_units=1, dropout=args.dropout)
else:
    network = monai.networks.nets.SegResNet(3, args.width, 1, 1, args.dropout, blocks_down=(1, 1), blocks_up=(1,))
device = torch.device("cpu")
optimizer = torch.optim.AdamW(network.parameters(), args.lr)
after = Compose([AsDiscreted("pred", threshold=0.5)])
handlers = [StatsHandler(tag_name="loss", output_transform=from_engine("loss", first=True))]
if args.schedule:
    handlers.append(LrScheduleHandler(torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5), print_lr=False))
if args.evaluate:
    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=held,
        network=network,
        inferer=SlidingWindowInferer((8, 8, 8), 4) if args.sliding else SimpleInferer(),
        postprocessing=after,
        key_val_metric={"dice": MeanDice(output_transform=from_engine(["pred", "label"]))},
    )
    handlers.append(ValidationHandler(args.evaluate, evaluator))
kept = {"network": network, "optimizer": optimizer}
if args.save:
    handlers.append(CheckpointSaver("checkpoints", kept, save_final=True, final_filename="last.pt"))
if args.resume:
    handlers.append(CheckpointLoader("checkpoints/last.pt", kept))
trainer = SupervisedTrainer(
    device=device,
    max_epochs=args.epochs,
    train_data_loader=train,
    network=network,
    optimizer=optimizer,
    loss_function=getattr(monai.losses, args.loss)(sigmoid=True),
    postprocessing=after,
    train_handlers=handlers,
    **args.trainer,
)
trainer.run()
