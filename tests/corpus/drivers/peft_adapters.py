"""Adapters of peft on a small decoder, trained by the Trainer of transformers."""

import peft
import transformers

import words
from driver import options, tokens

args = options(method="LoraConfig", width=32, layers=2, samples=256, length=16, adapter={}, trainer={}, resume=False)
settings = {
    "output_dir": "out",
    "num_train_epochs": 5,
    "per_device_train_batch_size": 16,
    "learning_rate": 5e-3,
    "eval_strategy": "epoch",
    "save_strategy": "no",
    "logging_steps": 10,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "seed": args.seed,
} | args.trainer


def texts(count):
    return [{"input_ids": one, "labels": one} for one in tokens(count, args.length)[0]]


transformers.set_seed(args.seed)
model = transformers.LlamaForCausalLM(words.llama(args.width, args.layers))
model = peft.get_peft_model(model, getattr(peft, args.method)(task_type="CAUSAL_LM", **args.adapter))
model.print_trainable_parameters()
trainer = transformers.Trainer(
    model=model,
    args=transformers.TrainingArguments(**settings),
    train_dataset=texts(args.samples),
    eval_dataset=texts(64),
)
trainer.train(resume_from_checkpoint=args.resume or None)
model.save_pretrained("adapter")
