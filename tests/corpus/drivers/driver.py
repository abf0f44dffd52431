"""What the drivers beside this file share: their options, the seeds, and small data made up on the spot."""

import argparse
import ast
import random

import numpy
import torch

# What learns to tell these classes apart has something to learn, and does so within a hundred iterations.
CLASSES = 4


def options(**defaults):
    """The options of a driver: `--seed`, and one for each default. That of `False` is a switch; that of a dictionary
    takes KEY=VALUE, may be given often, and adds to the dictionary: keywords for the package. Seeds everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    for name, default in defaults.items():
        option = "--" + name.replace("_", "-")
        if default is False:
            parser.add_argument(option, action="store_true")
        elif isinstance(default, dict):
            parser.add_argument(option, action="append", default=[], type=keyword, metavar="KEY=VALUE")
        else:
            parser.add_argument(option, type=type(default), default=default)
    args = parser.parse_args()
    for name, default in defaults.items():
        if isinstance(default, dict):
            setattr(args, name, default | dict(getattr(args, name)))
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    torch.manual_seed(args.seed)
    return args


def keyword(text):
    name, value = text.split("=", 1)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def table(count, features=12, classes=CLASSES):
    """Rows of numbers and their classes: one blob each."""
    labels = torch.arange(count) % classes
    centers = torch.randn(classes, features)
    return centers[labels] + 0.5 * torch.randn(count, features), labels


def curve(count, features=6):
    """Rows of numbers and a smooth function of each."""
    x = torch.rand(count, features) * 2 - 1
    return x, torch.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.05 * torch.randn(count, 1)


def images(count, size=16, channels=3, classes=CLASSES):
    """Noise with a bright square, whose quarter of the image is its class."""
    labels = torch.arange(count) % classes
    pixels = 0.3 * torch.rand(count, channels, size, size)
    half = size // 2
    for image, label in zip(pixels, labels.tolist()):
        row, column = half * (label // 2 % 2), half * (label % 2)
        image[:, row + 1 : row + half - 1, column + 1 : column + half - 1] += 0.6
    return pixels, labels


def masked_images(count, size=32, channels=3):
    """Noise with a bright square at a random place, and where it is."""
    pixels = 0.3 * torch.rand(count, channels, size, size)
    masks = torch.zeros(count, 1, size, size)
    for image, mask in zip(pixels, masks):
        row, column = (int(n) for n in torch.randint(0, size // 2, (2,)))
        mask[:, row : row + size // 3, column : column + size // 3] = 1
        image += 0.5 * mask
    return pixels, masks


def tokens(count, length=16, vocabulary=64, classes=CLASSES):
    """Sequences of tokens, and which part of the vocabulary most of each is from."""
    labels = torch.arange(count) % classes
    part = vocabulary // classes
    ids = torch.randint(0, vocabulary, (count, length))
    own = labels[:, None] * part + torch.randint(0, part, (count, length))
    return torch.where(torch.rand(count, length) < 0.6, own, ids), labels


def series(count, length):
    """Noisy waves, each with a period of its own: one a row."""
    steps, periods = numpy.arange(length), 2 + numpy.arange(count)[:, None]
    return (2 + numpy.sin(steps / periods) + 0.1 * numpy.random.randn(count, length)).astype("float32")
