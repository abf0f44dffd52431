"""The models of pycox, fitted by torchtuples: how long until something happens."""

import numpy
import pycox.models
import torch
import torchtuples

from driver import options

args = options(model="CoxPH", batch_size=32, epochs=10, lr=0.01, width=24, dropout=0.1, optimizer="Adam", patience=0, cycles=False,
               evaluate=False, samples=400, save=False, resume=False)  # fmt: skip
x = numpy.random.randn(args.samples, 6).astype("float32")
times = numpy.random.exponential(numpy.exp(-x[:, 0] + 0.5 * x[:, 1])).astype("float32")
happened = (numpy.random.rand(args.samples) < 0.8).astype("float32")
Model = getattr(pycox.models, args.model)
if args.model == "CoxPH":
    y, outputs, more = (times, happened), 1, {}
else:
    labels = Model.label_transform(10)
    y, outputs = labels.fit_transform(times, happened), 10
    outputs, more = labels.out_features, {"duration_index": labels.cuts}
net = torchtuples.practical.MLPVanilla(6, [args.width, args.width], outputs, True, args.dropout)
optimizer = getattr(torchtuples.optim, args.optimizer)(args.lr)
if args.cycles:
    optimizer = torchtuples.optim.AdamWR(args.lr, decoupled_weight_decay=0.01, cycle_eta_multiplier=0.8)
model = Model(net, optimizer, **more)
if args.resume:
    model.load_model_weights("weights.pt")
count = args.samples * 3 // 4
train, held = (x[:count], tuple(one[:count] for one in y)), (x[count:], tuple(one[count:] for one in y))
callbacks = [torchtuples.callbacks.EarlyStopping(patience=args.patience)] if args.patience else []
wanted = {"val_data": held} if args.evaluate or args.patience else {}
log = model.fit(*train, args.batch_size, args.epochs, callbacks, verbose=False, **wanted)
print(log.to_pandas().tail(1))
if args.save:
    model.save_model_weights("weights.pt")
