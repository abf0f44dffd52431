"""Models that transformers, accelerate and Lightning build and train. No network: everything comes from a configuration."""

import os
import sys
import tempfile
import warnings

os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def with_transformers(folder):
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    data = [{"input_ids": torch.randint(20, (8,)), "labels": torch.tensor(i % 2)} for i in range(8)]
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=3,
        per_device_train_batch_size=4,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        use_cpu=True,
        seed=3,
    )
    Trainer(BertForSequenceClassification(config), arguments, train_dataset=data).train()


def with_accelerate():
    from accelerate import Accelerator

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 1)

        def forward(self, x):
            return self.fc(x)

    accelerator = Accelerator(cpu=True)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    loader = DataLoader(TensorDataset(torch.randn(8, 3)), batch_size=4)
    model, optimizer, schedule, loader = accelerator.prepare(model, optimizer, schedule, loader)
    for (x,) in loader:
        optimizer.zero_grad()
        accelerator.backward(model(x).mean())
        optimizer.step()
        schedule.step()


def with_lightning(folder):
    import pytorch_lightning as lightning

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))

        def training_step(self, batch, index):
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    train = DataLoader(TensorDataset(torch.randn(8, 3)), batch_size=4)
    trainer.fit(Lit(), train)


if __name__ == "__main__":
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        which = sys.argv[1:] or ["transformers", "accelerate", "lightning"]
        if "transformers" in which:
            with_transformers(folder)
        if "accelerate" in which:
            with_accelerate()
        if "lightning" in which:
            with_lightning(folder)
