"""The trainers of Ultralytics: detection, segmentation and classification, from scratch on images made up here."""

import shutil
from pathlib import Path

from PIL import Image
from ultralytics import YOLO

from driver import images, masked_images, options

args = options(model="yolov8n.yaml", samples=64, size=64, train={}, resume=False)
classify = "-cls" in args.model


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(path)


def write(part, count):
    if classify:
        for n, (pixels, label) in enumerate(zip(*images(count, args.size))):
            save(pixels, Path(f"data/{part}/{label}/{n}.png"))
        return
    for n, (pixels, mask) in enumerate(zip(*masked_images(count, args.size))):
        save(pixels, Path(f"data/images/{part}/{n}.png"))
        rows, columns = (mask[0].any(dim).nonzero().flatten() for dim in (1, 0))
        top, bottom, left, right = (float(edge) / args.size for edge in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
        box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        if "-seg" in args.model:
            box = [left, top, right, top, right, bottom, left, bottom]
        labels = Path(f"data/labels/{part}/{n}.txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("0 " + " ".join(map(str, box)) + "\n")


if not args.resume:
    shutil.rmtree("data", ignore_errors=True)
    write("train", args.samples)
    write("val", 16)
    where = Path("data").resolve()
    Path("data.yaml").write_text(f"path: {where}\ntrain: images/train\nval: images/val\nnames:\n  0: square\n")
settings = {
    "data": "data" if classify else "data.yaml",
    "epochs": 4,
    "batch": 4,
    "imgsz": args.size,
    "workers": 0,
    "device": "cpu",
    "amp": False,
    "plots": False,
    "pretrained": False,
    "project": str(Path("out").resolve()),
    "exist_ok": True,
    "seed": args.seed,
} | args.train
if args.resume:
    YOLO("out/train/weights/last.pt").train(**settings | {"pretrained": True})
else:
    YOLO(args.model).train(**settings)
