"""The models of NeuralForecast, trained by Lightning on series made up here."""

import neuralforecast
import numpy
import pandas
from neuralforecast.losses.pytorch import MAE, MQLoss

from driver import options, series

args = options(model="NHITS", series=6, length=120, held=0, quantiles=False, settings={})
days = pandas.date_range("2024-01-01", periods=args.length, freq="D")
rows = pandas.DataFrame(
    {
        "unique_id": numpy.repeat(numpy.arange(args.series), args.length).astype(str),
        "ds": numpy.tile(days, args.series),
        "y": series(args.series, args.length).flatten(),
    }
)
settings = {
    "h": 6,
    "input_size": 18,
    "max_steps": 100,
    "batch_size": 4,
    "windows_batch_size": 32,
    "val_check_steps": 25,
    "random_seed": args.seed,
    "loss": MQLoss(level=[80]) if args.quantiles else MAE(),
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
} | args.settings
model = getattr(neuralforecast.models, args.model)(**settings)
forecast = neuralforecast.NeuralForecast(models=[model], freq="D")
forecast.fit(rows, val_size=args.held)
print(forecast.predict().tail(1))
