"""The training that open_clip ships (open_clip_train), with small models and its made-up data."""

import json
import sys
from pathlib import Path

import open_clip
from open_clip_train.main import main

from driver import options

args = options(width=32, layers=2, coca=False, training={})
tower = {"width": args.width, "layers": args.layers}
config = {
    "embed_dim": args.width,
    "vision_cfg": tower | {"image_size": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": tower | {"context_length": 16, "vocab_size": 49408, "heads": 2},
}
if args.coca:
    config["custom_text"] = True
    config["multimodal_cfg"] = tower | {"context_length": 16, "vocab_size": 49408, "heads": 2}
    config["text_cfg"] |= {"embed_cls": True, "output_tokens": True}
    config["vision_cfg"] |= {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
name = "coca_small" if args.coca else "small"
Path("models").mkdir(exist_ok=True)
Path(f"models/{name}.json").write_text(json.dumps(config))
open_clip.add_model_config(Path("models"))
settings = {
    "model": name,
    "dataset-type": "synthetic",
    "train-num-samples": 256,
    "batch-size": 8,
    "epochs": 3,
    "lr": 1e-3,
    "warmup": 10,
    "workers": 0,
    "device": "cpu",
    "precision": "fp32",
    "name": "out",
    "log-every-n-steps": 10,
    "seed": args.seed,
} | args.training
sys.argv = sys.argv[:1]
main([part for key, value in settings.items() for part in ([f"--{key}"] if value is True else [f"--{key}", str(value)])])
