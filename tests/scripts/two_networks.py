"""Trains two small networks with an optimizer each, in the way that the first argument says. What is called forgotten is wrong."""

import sys

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss


class Encoder(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


class Decoder(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8))


class Critic(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))


def autoencoder(way):
    encoder, decoder = Encoder(), Decoder()
    of_encoder = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    of_decoder = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for iteration in range(40):
        points = torch.randn(16, 8)
        # One that has its turn later, or accumulates over more batches than there are, keeps its gradients.
        if way != "encoder later":
            of_encoder.zero_grad()
        of_decoder.zero_grad()
        mse_loss(decoder(encoder(points)), points).backward()
        if way == "encoder by hand":
            with torch.no_grad():
                for parameter in encoder.parameters():
                    parameter -= 1e-2 * parameter.grad
        elif way == "encoder and decoder":
            of_encoder.step()
        of_decoder.step()


def adversarial(way):
    generator, critic = Decoder(), Critic()
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
    of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
    for iteration in range(40):
        noise = torch.randn(16, 4)
        of_critic.zero_grad()
        right = binary_cross_entropy_with_logits(critic(torch.randn(16, 8) + 2), torch.ones(16, 1))
        made_up = binary_cross_entropy_with_logits(critic(generator(noise)), torch.zeros(16, 1))
        (right + made_up).backward()
        of_critic.step()
        if way == "critic ahead" and iteration < 100:
            continue
        generator.zero_grad()
        binary_cross_entropy_with_logits(critic(generator(noise)), torch.ones(16, 1)).backward()
        if way != "generator forgotten":
            of_generator.step()


torch.manual_seed(3)
way = sys.argv[1]
if "generator" in way or "critic" in way:
    adversarial(way)
else:
    autoencoder(way)
