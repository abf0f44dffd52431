"""The training pipeline of pythae: autoencoders of several kinds."""

import pythae.models
from pythae.pipelines import TrainingPipeline
from pythae.trainers import AdversarialTrainerConfig, BaseTrainerConfig

from driver import images, options

args = options(model="VAE", latent=4, model_options={}, trainer={}, adversarial=False, evaluate=False)
settings = {
    "output_dir": "out",
    "num_epochs": 6,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 32,
    "no_cuda": True,
    "seed": args.seed,
} | args.trainer
if args.adversarial:
    trainer = AdversarialTrainerConfig(**settings)
else:
    trainer = BaseTrainerConfig(**{"learning_rate": 2e-3} | settings)
config = getattr(pythae.models, f"{args.model}Config")(input_dim=(1, 12, 12), latent_dim=args.latent, **args.model_options)
data = images(320, 12, 1)[0]
pipeline = TrainingPipeline(model=getattr(pythae.models, args.model)(config), training_config=trainer)
pipeline(data[:256], data[256:] if args.evaluate else None)
