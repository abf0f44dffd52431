"""The Trainer of SetFit: a small encoder of sentences tuned on pairs, and a head on it."""

import random

import transformers
from datasets import Dataset
from sentence_transformers import SentenceTransformer, models
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression

import words
from driver import options

args = options(width=32, layers=2, dropout=0.1, samples=24, differentiable=False, settings={})


def data(count):
    found = [random.choice(words.SUBJECTS[:4]) for _ in range(count)]
    rows = [{"text": words.sentence(one), "label": words.SUBJECTS.index(one) % 2} for one in found]
    return Dataset.from_list(rows)


transformers.BertModel(words.bert(args.width, args.layers, args.dropout)).save_pretrained("model")
words.tokenizer().save_pretrained("model")
encoder = models.Transformer("model", max_seq_length=32)
body = SentenceTransformer(modules=[encoder, models.Pooling(args.width)], device="cpu")
if args.differentiable:
    from setfit import SetFitHead

    model = SetFitModel(body, SetFitHead(in_features=args.width, out_features=2, device="cpu"))
else:
    model = SetFitModel(body, LogisticRegression())
settings = {
    "output_dir": "out",
    "batch_size": (12, 8),
    "num_epochs": (1, 8),
    "body_learning_rate": (1e-3, 1e-4),
    "max_steps": 100,
    "seed": args.seed,
    "report_to": "none",
    "save_strategy": "no",
} | args.settings
trainer = Trainer(
    model,
    TrainingArguments(**settings),
    train_dataset=data(args.samples),
    eval_dataset=data(16),
    # Those with a name come from the network.
    metric=lambda predicted, labels: {"accuracy": sum(a == b for a, b in zip(predicted, labels)) / len(labels)},
)
trainer.train()
print(trainer.evaluate())
