"""The models of pytorch-forecasting, trained by Lightning on series made up here."""

import lightning.pytorch as lightning
import numpy
import pandas
import pytorch_forecasting
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data import GroupNormalizer
from pytorch_forecasting.metrics import MAE, QuantileLoss

from driver import options, series

args = options(model="TemporalFusionTransformer", batch_size=32, past=16, ahead=4, series=6, length=60, resume=False,
               model_options={}, trainer={})  # fmt: skip
lightning.seed_everything(args.seed)
waves = series(args.series, args.length)
rows = pandas.DataFrame(
    {
        "time": numpy.tile(numpy.arange(args.length), args.series),
        "series": numpy.repeat(numpy.arange(args.series), args.length).astype(str),
        "value": waves.flatten(),
    }
)
full = args.model == "TemporalFusionTransformer"
train = TimeSeriesDataSet(
    rows[rows["time"] < args.length - args.ahead],
    time_idx="time",
    target="value",
    group_ids=["series"],
    max_encoder_length=args.past,
    min_encoder_length=args.past,
    max_prediction_length=args.ahead,
    time_varying_unknown_reals=["value"],
    target_normalizer=GroupNormalizer(groups=["series"]) if full else "auto",
    **({"static_categoricals": ["series"], "time_varying_known_reals": ["time"], "add_relative_time_idx": True} if full else {}),
)
held = TimeSeriesDataSet.from_dataset(train, rows, predict=True, stop_randomization=True)
if full:
    settings = {"hidden_size": 8, "attention_head_size": 2, "hidden_continuous_size": 4, "loss": QuantileLoss()}
elif args.model == "NBeats":
    settings = {"widths": [16, 64], "num_blocks": [1, 1], "num_block_layers": [2, 2], "loss": MAE()}
else:
    settings = {"hidden_size": 32, "loss": MAE()}
settings |= {"learning_rate": 0.01, "log_interval": -1, "dropout": 0.1} | args.model_options
model = getattr(pytorch_forecasting, args.model).from_dataset(train, **settings)
trainer = lightning.Trainer(
    **{
        "max_epochs": 6,
        "accelerator": "cpu",
        "gradient_clip_val": 0.1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    | args.trainer,
    callbacks=[lightning.callbacks.ModelCheckpoint("checkpoints", save_last=True)],
)
trainer.fit(
    model,
    train.to_dataloader(train=True, batch_size=args.batch_size, num_workers=0),
    held.to_dataloader(train=False, batch_size=64, num_workers=0),
    ckpt_path="checkpoints/last.ckpt" if args.resume else None,
)
