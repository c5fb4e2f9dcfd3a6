"""What `trivium pretrain gan` will need: the texts are read, the vocabulary is learnt, and nothing is trained."""

from typing import Any

import torch

from trivium.cli.dry_run.network import count
from trivium.recipes.gan_config import GANConfig
from trivium.recipes.gan_game import build_networks, generator_name
from trivium.recipes.gan_texts import read_gan_texts
from trivium.recipes.training import require_free
from trivium.runtime.device import choose_device


def playing(config: GANConfig) -> dict[str, Any]:
    """Of `trivium pretrain gan`. Raises `UserError` for data, networks or a folder that the run would refuse."""
    require_free(config)
    name = generator_name(config)
    texts = read_gan_texts(config)
    with torch.device("meta"):
        generator, discriminator = build_networks(config, texts)
    what = "pairs" if texts.sources else "texts"
    return {
        "data": f"{len(texts.training):,} {what} to learn from, {len(texts.held_out):,} to measure on",
        "vocabulary": texts.tokenizer.vocabulary_size,
        "longest": texts.longest,
        **({"longest_source": texts.longest_source} if texts.sources else {}),
        "generator": f"{name}, {count(generator):,} parameters",
        "discriminator": f"{count(discriminator):,} parameters",
        "device": str(choose_device(config.device)),
        "likelihood_steps": config.likelihood_steps(len(texts.training)),
        "discriminator_steps": config.discriminator_steps,
        "steps": config.game_steps or "as many as fit",
        "texts_a_step": f"{config.rows * max(1, config.discriminator_updates):,} real ones, and as many written",
        "time": "not foretold: most of it is writing",
    }
