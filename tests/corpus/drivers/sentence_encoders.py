"""The trainers of sentence-transformers: an encoder of sentences with several losses, or a cross-encoder of pairs."""

import random

import transformers
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    losses,
    models,
)
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

import words
from driver import options

args = options(
    loss="MultipleNegativesRankingLoss", width=32, layers=2, dropout=0.1, samples=192, settings={}, resume=False
)
settings = {
    "output_dir": "out",
    "num_train_epochs": 5,
    "per_device_train_batch_size": 12,
    "learning_rate": 1e-3,
    "eval_strategy": "epoch",
    "save_strategy": "no",
    "logging_steps": 10,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "seed": args.seed,
} | args.settings


def data(count):
    """Sentences of one subject belong together, of two they do not."""
    rows = []
    for _ in range(count):
        one, other = random.sample(words.SUBJECTS, 2)
        same = random.random() < 0.5
        rows.append(
            {
                "anchor": words.sentence(one),
                "positive": words.sentence(one),
                "negative": words.sentence(other),
                "second": words.sentence(one if same else other),
                "label": float(same),
            }
        )
    columns = {
        "MultipleNegativesRankingLoss": ["anchor", "positive"],
        "CachedMultipleNegativesRankingLoss": ["anchor", "positive"],
        "TripletLoss": ["anchor", "positive", "negative"],
    }.get(args.loss, ["anchor", "second", "label"])
    return Dataset.from_list([{name: row[name] for name in columns} for row in rows])


# What loads a model takes a folder or a name.
cross = args.loss == "BinaryCrossEntropyLoss"
config = words.bert(args.width, args.layers, args.dropout, num_labels=1)
(transformers.BertForSequenceClassification if cross else transformers.BertModel)(config).save_pretrained("model")
words.tokenizer().save_pretrained("model")
if cross:
    model = CrossEncoder("model", num_labels=1, device="cpu")
    kinds, loss = (CrossEncoderTrainer, CrossEncoderTrainingArguments), BinaryCrossEntropyLoss(model)
else:
    encoder = models.Transformer("model", max_seq_length=32)
    model = SentenceTransformer(modules=[encoder, models.Pooling(args.width)], device="cpu")
    kinds, loss = (SentenceTransformerTrainer, SentenceTransformerTrainingArguments), getattr(losses, args.loss)(model)
trainer = kinds[0](
    model=model,
    args=kinds[1](**settings),
    train_dataset=data(args.samples),
    eval_dataset=data(48),
    loss=loss,
)
trainer.train(resume_from_checkpoint=args.resume or None)
