"""The estimators of GluonTS on series made up here."""

import importlib

import pandas
from gluonts.dataset.common import ListDataset

from driver import options, series

args = options(module="deepar.DeepAREstimator", series=8, length=96, estimator={}, trainer={}, evaluate=False)
start = pandas.Period("2024-01-01", freq="D")
waves = [{"start": start, "target": wave} for wave in series(args.series, args.length)]
data = ListDataset(waves, freq="D")
module, name = args.module.split(".")
Estimator = getattr(importlib.import_module(f"gluonts.torch.model.{module}"), name)
settings = {"prediction_length": 6, "context_length": 14, "batch_size": 16, "num_batches_per_epoch": 20, "lr": 5e-3}
if module == "deepar":
    settings |= {"freq": "D", "hidden_size": 16, "num_layers": 1}
trainer = {"max_epochs": 5, "accelerator": "cpu", "logger": False, "enable_progress_bar": False} | args.trainer
estimator = Estimator(**settings | args.estimator, trainer_kwargs=trainer)
predictor = estimator.train(data, validation_data=data if args.evaluate else None)
print(next(iter(predictor.predict(data))).mean)
