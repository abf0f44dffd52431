"""Networks of PyTorch Geometric with its data modules, trained by Lightning: classes of nodes, or of graphs."""

import lightning.pytorch as lightning
import torch
import torch.nn.functional as F
from torch_geometric.data import Data
from torch_geometric.data.lightning import LightningDataset, LightningNodeData
from torch_geometric.nn import models, pool

from driver import CLASSES, options

args = options(task="graphs", model="GCN", batch_size=16, width=32, layers=2, dropout=0.2, lr=5e-3, decay=False, nodes=300,
               trainer={}, resume=False)  # fmt: skip
lightning.seed_everything(args.seed)


def graph(nodes, label=None):
    """Nodes like their class, mostly beside others of it; or, with a label, a graph all of one class."""
    y = torch.randint(0, CLASSES, (nodes,)) if label is None else torch.full((nodes,), label)
    near = torch.rand(nodes, nodes) < torch.where(y[:, None] == y, 0.1 if label is None else 0.3, 0.01)
    x = F.one_hot(y, 8).float() + torch.randn(nodes, 8)
    return Data(x=x, edge_index=near.nonzero().T, y=y if label is None else torch.tensor([label]))


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = getattr(models, args.model)(8, args.width, args.layers, CLASSES, args.dropout)

    def loss(self, batch, part):
        found = self.net(batch.x, batch.edge_index)
        if args.task == "graphs":
            return F.cross_entropy(pool.global_mean_pool(found, batch.batch), batch.y)
        mask = batch[f"{part}_mask"]
        return F.cross_entropy(found[mask], batch.y[mask])

    def training_step(self, batch, _):
        return self.loss(batch, "train")

    def validation_step(self, batch, _):
        self.log("val_loss", self.loss(batch, "val"), batch_size=1)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=args.lr, weight_decay=5e-4)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.7)] if args.decay else []


if args.task == "graphs":
    graphs = [graph(12, n % CLASSES) for n in range(320)]
    data = LightningDataset(graphs[:256], graphs[256:], batch_size=args.batch_size, num_workers=0)
    epochs = 6
else:
    whole = graph(args.nodes)
    part = torch.rand(args.nodes)
    whole.train_mask, whole.val_mask, whole.test_mask = part < 0.6, (part >= 0.6) & (part < 0.8), part >= 0.8
    data, epochs = LightningNodeData(whole, loader="full", num_workers=0), 80
trainer = lightning.Trainer(
    **{
        "max_epochs": epochs,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    | args.trainer,
    callbacks=[lightning.callbacks.ModelCheckpoint("checkpoints", save_last=True)],
)
trainer.fit(Classifier(), datamodule=data, ckpt_path="checkpoints/last.ckpt" if args.resume else None)
