"""Trains a tiny BERT, made from a configuration, to count tokens: the Trainer of transformers runs the loop, builds
the optimizer and the schedule, evaluates, and saves checkpoints. Nothing is downloaded."""

import argparse
import os
import tempfile

# Before the import of transformers, which looks at them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy
import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from pipeline import Meter, report, report_gradients, report_rng, report_weights

VOCABULARY = 32
LENGTH = 16


class Majority(Dataset):
    """Random tokens; the label says whether most of them are odd."""

    def __init__(self, count, seed):
        random = numpy.random.RandomState(seed)
        self.tokens = torch.from_numpy(random.randint(1, VOCABULARY, (count, LENGTH - 1)))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        tokens = self.tokens[index]
        return {"input_ids": tokens, "labels": int((tokens % 2).sum() * 2 > len(tokens))}


class Exact(TrainerCallback):
    """Prints what the trainer would round, and the state of things at the end of every epoch."""

    def __init__(self, meter):
        self.meter = meter

    def on_step_end(self, args, state, control, **kwargs):
        self.meter.tick()

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step % 5 == 0:
            report_gradients(model)

    def on_log(self, args, state, control, logs=None, **kwargs):
        for name in ("loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy"):
            if name in logs:
                report(name, logs[name])

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        report_rng()
        report_weights(model)


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--steps", type=int, default=-1, help="optimizer steps; more weighty than --epochs if given")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--no-eval", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--out", help="folder for checkpoints; a temporary one without it")
    args = parser.parse_args()

    set_seed(args.seed)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=args.width,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=2 * args.width,
            max_position_embeddings=LENGTH,
            num_labels=2,
        )
    )
    with tempfile.TemporaryDirectory() as temporary:
        arguments = TrainingArguments(
            output_dir=args.out or temporary,
            seed=args.seed,
            use_cpu=True,
            num_train_epochs=args.epochs,
            max_steps=args.steps,
            learning_rate=args.lr,
            per_device_train_batch_size=args.batch_size,
            per_device_eval_batch_size=64,
            gradient_accumulation_steps=args.accumulation,
            warmup_steps=5,
            weight_decay=0.01,
            logging_steps=1,
            eval_strategy="no" if args.no_eval else "epoch",
            save_strategy="epoch",
            save_total_limit=1,
            report_to=[],
            disable_tqdm=True,
        )
        meter = Meter()
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Majority(320, seed=1),
            eval_dataset=Majority(64, seed=2),
            compute_metrics=accuracy,
            callbacks=[Exact(meter)],
        )
        # Its own printing has times in it.
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=args.resume or None)
        meter.finish()
    report_weights(model)


if __name__ == "__main__":
    main()
