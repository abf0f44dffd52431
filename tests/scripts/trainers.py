"""Loops that libraries run: accelerate, transformers, PyTorch Lightning. Tiny, from random data, off the network."""

import os
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

BATCH = 4


def numbers(batches):
    return TensorDataset(torch.randn(BATCH * batches, 3), torch.randn(BATCH * batches, 1))


def accelerated():
    """Ten batches, a step every four and one at the end of the loader."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    loader = DataLoader(numbers(10), batch_size=BATCH)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    for x, y in loader:
        with accelerator.accumulate(model):
            loss = F.mse_loss(model(x), y)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()


def by_an_optimizer_of_a_library():
    """Another library's optimizer."""
    from transformers.optimization import Adafactor

    model = torch.nn.Linear(3, 1)
    optimizer = Adafactor(model.parameters())
    for x, y in DataLoader(numbers(4), batch_size=BATCH):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()


def lightning():
    """Two epochs of five batches, a step every two and one at the end; two batches are evaluated after each."""
    import pytorch_lightning as pl

    class Regression(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Linear(3, 1)

        def training_step(self, batch, _):
            return F.mse_loss(self.model(batch[0]), batch[1])

        def validation_step(self, batch, _):
            self.log("loss", F.mse_loss(self.model(batch[0]), batch[1]))

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=2,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Regression(), DataLoader(numbers(5), batch_size=BATCH), DataLoader(numbers(2), batch_size=BATCH))


def lightning_by_hand():
    """Two optimizers in one training step; two trainers, one after the other."""
    import pytorch_lightning as pl

    class Adversaries(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.generator = torch.nn.Linear(3, 3)
            self.critic = torch.nn.Linear(3, 1)

        def training_step(self, batch, _):
            of_critic, of_generator = self.optimizers()
            real = self.critic(batch[0])
            fake = self.generator(torch.randn_like(batch[0]))
            of_critic.zero_grad()
            self.manual_backward(self.critic(fake.detach()).mean() - real.mean())
            of_critic.step()
            of_generator.zero_grad()
            self.manual_backward(-self.critic(fake).mean())
            of_generator.step()

        def configure_optimizers(self):
            return [torch.optim.Adam(model.parameters()) for model in (self.critic, self.generator)]

    def trainer():
        return pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    class Others(Adversaries):
        def training_step(self, batch, _):
            of_critic, _ = self.optimizers()
            of_critic.zero_grad()
            self.manual_backward(self.critic(batch[0]).mean())
            of_critic.step()

    trainer().fit(Adversaries(), DataLoader(numbers(5), batch_size=BATCH))
    trainer().fit(Others(), DataLoader(numbers(3), batch_size=BATCH))


def transformer():
    """Two epochs of five batches, a step every two and one at the end, two batches evaluated and a checkpoint after
    each epoch."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    def texts(batches):
        return [
            {"input_ids": torch.randint(30, (6,)), "attention_mask": torch.ones(6, dtype=torch.long), "labels": n % 2}
            for n in range(BATCH * batches)
        ]

    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=2,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            gradient_accumulation_steps=2,
            eval_strategy="epoch",
            save_strategy="epoch",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(
            model=BertForSequenceClassification(config),
            args=arguments,
            train_dataset=texts(5),
            eval_dataset=texts(2),
        ).train()


def main():
    torch.manual_seed(0)
    for name in sys.argv[1:]:
        globals()[name]()
    print("done", flush=True)


if __name__ == "__main__":
    main()
