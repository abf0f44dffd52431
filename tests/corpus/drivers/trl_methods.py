"""The trainers of trl on a small decoder: supervised, by preferences, of a reward, by rewards of what is generated."""

import random

import transformers
import trl
from datasets import Dataset

import words
from driver import options

args = options(method="sft", width=32, layers=2, samples=128, settings={}, lora=False, resume=False)
settings = {
    "output_dir": "out",
    "num_train_epochs": 5,
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-3,
    "save_strategy": "no",
    "logging_steps": 10,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
    "gradient_checkpointing": False,
    "seed": args.seed,
} | args.settings
tokenizer = words.tokenizer(sides=False)


def pair():
    """A question, a good answer and a bad one."""
    answers = [f"yes {words.sentence()}", f"no {words.sentence()}"]
    return {"prompt": f"do {random.choice(words.SUBJECTS)} like cats ? ", "chosen": answers[0], "rejected": answers[1]}


def data(count):
    pairs = [pair() for _ in range(count)]
    if args.method == "sft":
        return Dataset.from_list([{"text": one["prompt"] + one["chosen"]} for one in pairs])
    if args.method == "reward":
        whole = [{kind: one["prompt"] + one[kind] for kind in ("chosen", "rejected")} for one in pairs]
        return Dataset.from_list(whole)
    if args.method == "grpo":
        return Dataset.from_list([{"prompt": one["prompt"]} for one in pairs])
    return Dataset.from_list(pairs)


def brevity(completions, **_):
    """A reward for what is generated."""
    return [-abs(len(one.split()) - 4) for one in completions]


config = words.llama(args.width, args.layers)
if args.method == "reward":
    config.num_labels = 1
    model = transformers.LlamaForSequenceClassification(config)
else:
    model = transformers.LlamaForCausalLM(config)
more = {}
if args.lora:
    from peft import LoraConfig

    more["peft_config"] = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
if args.method == "grpo":
    more["reward_funcs"] = brevity
kind = {"sft": "SFT", "dpo": "DPO", "reward": "Reward", "grpo": "GRPO"}[args.method]
trainer = getattr(trl, f"{kind}Trainer")(
    model=model,
    args=getattr(trl, f"{kind}Config")(**settings),
    train_dataset=data(args.samples),
    eval_dataset=data(32) if settings.get("eval_strategy") else None,
    processing_class=tokenizer,
    **more,
)
trainer.train(resume_from_checkpoint=args.resume or None)
