"""The Brain of SpeechBrain: a recurrent network that names tones."""

import speechbrain
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.nnet.schedulers import NewBobScheduler
from speechbrain.utils.checkpoints import Checkpointer

from driver import CLASSES, options

args = options(batch_size=16, epochs=5, lr=3e-3, width=24, layers=1, dropout=0.1, optimizer="Adam", network="GRU", anneal=False,
               run={})  # fmt: skip


class Tones(speechbrain.Brain):
    def compute_forward(self, batch, stage):
        waves, _ = batch.wave
        frames = waves.unfold(1, 32, 16)
        found = self.modules.rnn(frames)
        return self.modules.head(found[0].mean(1))

    def compute_objectives(self, predictions, batch, stage):
        return torch.nn.functional.cross_entropy(predictions, torch.as_tensor(batch.label))

    def on_stage_end(self, stage, loss, epoch):
        print(stage, epoch, loss)
        if stage == speechbrain.Stage.VALID:
            if args.anneal:
                old, new = anneal(loss)
                speechbrain.nnet.schedulers.update_learning_rate(self.optimizer, new)
            if self.checkpointer is not None:
                self.checkpointer.save_and_keep_only(meta={"loss": loss}, min_keys=["loss"])


def tones(count):
    """Tones of different lengths; how high each is is its class."""
    found = []
    for n in range(count):
        label, length = n % CLASSES, int(torch.randint(200, 400, ()))
        wave = torch.sin(torch.arange(length) * (0.2 + 0.15 * label)) + 0.3 * torch.randn(length)
        found.append({"id": str(n), "wave": wave, "label": label})
    return found


def loader(count, shuffle):
    return torch.utils.data.DataLoader(tones(count), args.batch_size, shuffle=shuffle, collate_fn=PaddedBatch)


dropout = args.dropout if args.layers > 1 else 0.0
rnn = getattr(torch.nn, args.network)(32, args.width, args.layers, batch_first=True, dropout=dropout)
modules = {"rnn": rnn, "head": torch.nn.Linear(args.width, CLASSES)}
anneal = NewBobScheduler(args.lr)
epochs = speechbrain.utils.epoch_loop.EpochCounter(args.epochs)
checkpointer = Checkpointer("checkpoints", {"rnn": rnn, "head": modules["head"], "epochs": epochs, "anneal": anneal})
brain = Tones(
    modules,
    lambda parameters: getattr(torch.optim, args.optimizer)(parameters, lr=args.lr),
    run_opts={"device": "cpu", "noprogressbar": True} | args.run,
    checkpointer=checkpointer,
)
brain.fit(epochs, loader(256, True), loader(64, False))
