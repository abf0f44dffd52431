"""The pipeline of PyKEEN on the small graph that it ships."""

from pykeen.pipeline import pipeline

from driver import options

args = options(
    model="TransE", loop="slcwa", loss="", optimizer="Adam", lr=0.01, schedule="", stopper="", model_options={}, training={},
    negatives={},
)  # fmt: skip
settings = {"num_epochs": 15, "batch_size": 256, "use_tqdm": False} | args.training
more = {}
if args.loss:
    more["loss"] = args.loss
if args.schedule:
    more |= {"lr_scheduler": args.schedule, "lr_scheduler_kwargs": {"gamma": 0.95}}
if args.stopper:
    more |= {"stopper": args.stopper, "stopper_kwargs": {"frequency": 5, "patience": 2}}
if args.loop == "slcwa":
    more |= {"negative_sampler": "basic", "negative_sampler_kwargs": args.negatives}
found = pipeline(
    dataset="nations",
    model=args.model,
    model_kwargs={"embedding_dim": 24} | args.model_options,
    training_loop=args.loop,
    optimizer=args.optimizer,
    optimizer_kwargs={"lr": args.lr},
    training_kwargs=settings,
    evaluation_kwargs={"use_tqdm": False},
    random_seed=args.seed,
    device="cpu",
    **more,
)
print("loss", found.losses[-1])
