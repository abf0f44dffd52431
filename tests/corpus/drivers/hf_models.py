"""The Trainer of transformers with small models of several kinds, made from their configurations."""

import transformers
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainingArguments

import words
from driver import CLASSES, images, options, tokens

args = options(model="bert", width=32, layers=2, dropout=0.1, samples=256, length=16, trainer={}, resume=False)


def sequences(count):
    ids, labels = tokens(count, args.length)
    return [{"input_ids": one, "labels": label} for one, label in zip(ids, labels)]


def texts(count):
    return [{"input_ids": one, "labels": one} for one in tokens(count, args.length)[0]]


def tagged(count):
    return [{"input_ids": one, "labels": one // 16} for one in tokens(count, args.length)[0]]


def reversals(count):
    return [{"input_ids": one, "labels": one.flip(0)} for one in tokens(count, args.length)[0]]


def pictures(count):
    return [{"pixel_values": one, "labels": label} for one, label in zip(*images(count))]


def made():
    """The model, and what makes up data for it."""
    width, layers, dropout = args.width, args.layers, args.dropout
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 2 * width}
    if args.model == "bert":
        config = words.bert(width, layers, dropout, num_labels=CLASSES)
        return transformers.BertForSequenceClassification(config), sequences
    if args.model == "llama":
        return transformers.LlamaForCausalLM(words.llama(width, layers, dropout)), texts
    if args.model == "gpt2":
        rates = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
        config = transformers.GPT2Config(
            vocab_size=64, n_embd=width, n_layer=layers, n_head=4, n_positions=128, bos_token_id=2, eos_token_id=3, **rates
        )
        return transformers.GPT2LMHeadModel(config), texts
    if args.model == "distilbert":
        config = transformers.DistilBertConfig(
            vocab_size=64, dim=width, n_layers=layers, n_heads=4, hidden_dim=2 * width, dropout=dropout, num_labels=CLASSES
        )
        return transformers.DistilBertForTokenClassification(config), tagged
    if args.model == "t5":
        config = transformers.T5Config(
            vocab_size=64, d_model=width, d_kv=width // 4, d_ff=2 * width, num_layers=layers, num_heads=4,
            dropout_rate=dropout, decoder_start_token_id=0,
        )  # fmt: skip
        return transformers.T5ForConditionalGeneration(config), reversals
    if args.model == "vit":
        config = transformers.ViTConfig(
            image_size=16, patch_size=4, num_labels=CLASSES, hidden_dropout_prob=dropout, **sizes
        )
        return transformers.ViTForImageClassification(config), pictures
    raise SystemExit(f"no such model: {args.model}")


def accuracy(predicted):
    logits = predicted.predictions[0] if isinstance(predicted.predictions, tuple) else predicted.predictions
    return {"accuracy": float((logits.argmax(-1) == predicted.label_ids).mean())}


model, data = made()
settings = {
    "output_dir": "out",
    "num_train_epochs": 5,
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-3,
    "eval_strategy": "epoch",
    "save_strategy": "no",
    "logging_steps": 10,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "seed": args.seed,
} | args.trainer
kinds = (Seq2SeqTrainer, Seq2SeqTrainingArguments) if args.model == "t5" else (Trainer, TrainingArguments)
trainer = kinds[0](
    model=model,
    args=kinds[1](**settings),
    train_dataset=data(args.samples),
    eval_dataset=data(64),
    compute_metrics=accuracy if args.model in ("bert", "vit") else None,
)
trainer.train(resume_from_checkpoint=args.resume or None)
print(trainer.evaluate())
