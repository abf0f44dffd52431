"""The trainer and the evaluator that pytorch-ignite makes, with its handlers, on models of torchvision."""

import torch
import torchvision
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, CosineAnnealingScheduler, DiskSaver, EarlyStopping, EMAHandler, LRScheduler, TerminateOnNan
from ignite.metrics import Accuracy, Loss, RunningAverage
from torch.utils.data import DataLoader, TensorDataset

from driver import CLASSES, images, options

args = options(
    model="squeezenet1_1", batch_size=16, epochs=5, lr=2e-3, optimizer="Adam", size=32, samples=192, schedule="",
    evaluate=1, average=False, patience=0, trainer={}, save=False, resume=False,
)  # fmt: skip

model = torchvision.models.get_model(args.model, weights=None, num_classes=CLASSES)
optimizer = getattr(torch.optim, args.optimizer)(model.parameters(), lr=args.lr)
train = DataLoader(TensorDataset(*images(args.samples, args.size)), args.batch_size, shuffle=True)
held = DataLoader(TensorDataset(*images(48, args.size)), 24)
loss = torch.nn.CrossEntropyLoss()
trainer = create_supervised_trainer(model, optimizer, loss, "cpu", **args.trainer)
evaluator = create_supervised_evaluator(model, {"accuracy": Accuracy(), "loss": Loss(loss)}, "cpu")
RunningAverage(output_transform=lambda value: value).attach(trainer, "loss")
trainer.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
if args.schedule == "cosine":
    schedule = CosineAnnealingScheduler(optimizer, "lr", args.lr, args.lr / 10, len(train))
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
elif args.schedule == "step":
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, schedule)
if args.average:
    EMAHandler(model, momentum=0.01).attach(trainer, event=Events.ITERATION_COMPLETED)
if args.evaluate:

    @trainer.on(Events.EPOCH_COMPLETED(every=args.evaluate))
    def evaluate(engine):
        evaluator.run(held)
        print(engine.state.epoch, engine.state.metrics, evaluator.state.metrics)


if args.patience:
    stopper = EarlyStopping(args.patience, lambda engine: -engine.state.metrics["loss"], trainer)
    evaluator.add_event_handler(Events.COMPLETED, stopper)
kept = {"model": model, "optimizer": optimizer, "trainer": trainer}
if args.save:
    saver = Checkpoint(kept, DiskSaver("checkpoints", require_empty=False), filename_pattern="last.pt")
    trainer.add_event_handler(Events.EPOCH_COMPLETED, saver)
if args.resume:
    Checkpoint.load_objects(kept, torch.load("checkpoints/last.pt", weights_only=False))
trainer.run(train, max_epochs=args.epochs)
