"""The two networks of each method, and the game that they play."""

import dataclasses
from typing import Any

from torch import nn

from trivium.errors import ConfigError
from trivium.models import architecture
from trivium.models.leakgan import LeakGAN, LeakGANConfig
from trivium.models.relgan_discriminator import RelGANDiscriminator, RelGANDiscriminatorConfig
from trivium.models.text_cnn import SIZES, TextCNN, TextCNNConfig
from trivium.recipes.gan_config import GANConfig
from trivium.recipes.gan_texts import GANTexts
from trivium.recipes.language_model import ModelConfig, build_model
from trivium.recipes.translator import WRITERS, TranslatorConfig, build_translator
from trivium.training.adversarial.coldgan import ColdGAN
from trivium.training.adversarial.game import Game
from trivium.training.adversarial.leakgan import LeakGame
from trivium.training.adversarial.maligan import MaliGAN
from trivium.training.adversarial.relgan import RelGAN
from trivium.training.adversarial.seqgan import SeqGAN
from trivium.training.adversarial.textgan import CodeReader, TextGAN

_WRITES = ("decoder", "recurrent")
_LEAKING = "leakgan"
_ON_PAIRS, _ATTENDING = "coldgan", "encoder-decoder"
_PLAIN = {"seqgan": SeqGAN, "maligan": MaliGAN}
_LONG = 20
"""Tokens of a text from which on LeakGAN's authors have twice the width."""


def generator_name(config: GANConfig) -> str:
    """The architecture of the generator. Raises `ConfigError` for one that cannot play."""
    name = config.networks.architecture or config.way.architecture
    entry = architecture(name)
    if config.reads_sources:
        if config.method != _ON_PAIRS or entry.name not in WRITERS:
            raise ConfigError(
                f"{entry.name} cannot be the generator of {config.method}",
                received=f"networks.architecture {name}, an encoder-decoder",
                expected=f"for {_ON_PAIRS}, on pairs of source and target: {', '.join(WRITERS)}",
                fix="leave it out" if entry.name not in WRITERS else f"set method to {_ON_PAIRS}, or leave it out",
            )
        return entry.name
    if (entry.name == _LEAKING) != (config.method == _LEAKING) or entry.kind not in _WRITES:
        raise ConfigError(
            f"{entry.name} cannot be the generator of {config.method}",
            received=f"networks.architecture {name}",
            expected=_LEAKING if config.method == _LEAKING else f"a {' or '.join(_WRITES)} model other than {_LEAKING}",
            fix="leave it out",
        )
    return entry.name


def build_networks(config: GANConfig, texts: GANTexts) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator with random weights. Raises `ConfigError` for what cannot be."""
    size = texts.tokenizer.vocabulary_size
    if config.reads_sources:
        generator = _pair_generator(config, texts)
    else:
        generator = build_generator(config, size, texts.longest)
    return generator, build_discriminator(config, generator, size, texts.longest_read)


def _pair_generator(config: GANConfig, texts: GANTexts) -> nn.Module:
    asked, name = config.networks, generator_name(config)
    usual = asked.layers == 1 and architecture(name).kind != _ATTENDING  # of these cho has no other number
    settings = TranslatorConfig(
        architecture=name,
        width=asked.width or config.way.width,
        embedding_width=asked.embedding_width,
        layers=None if usual else asked.layers,
        heads=asked.heads,
        dropout=asked.dropout,
    )
    return build_translator(settings, texts.tokenizer, max(texts.longest, texts.longest_source) + 1)


def build_generator(config: GANConfig, vocabulary_size: int, longest: int) -> nn.Module:
    """The generator with random weights, for texts of so many tokens. Raises `ConfigError` for what cannot be."""
    name, asked = generator_name(config), config.networks
    if name == _LEAKING:
        if asked.heads is not None or asked.layers != 1:
            raise ConfigError(
                "LeakGAN's generator has two layers of its own, and no heads",
                received=f"networks.layers {asked.layers}, networks.heads {asked.heads}",
                fix="leave both out",
            )
        reads = _reads(config, vocabulary_size, longest)
        return LeakGAN(
            LeakGANConfig(
                vocabulary_size=vocabulary_size,
                embedding_width=asked.embedding_width,
                width=asked.width or config.way.width * (1 + (longest > _LONG)),
                leak_width=reads.width,
                windows=reads.windows,
                filters=reads.filters,
                dropout=asked.dropout,
            )
        )
    own = name == config.way.architecture
    return build_model(
        ModelConfig(
            architecture=name,
            width=asked.width or config.way.width,
            layers=asked.layers,
            heads=asked.heads,
            embedding_width=asked.embedding_width or (config.way.embedding_width if own else None),
            dropout=asked.dropout,
            tied=not own,  # as in the papers; a GPT has it tied
        ),
        vocabulary_size,
        longest + 1,
    )


def build_discriminator(config: GANConfig, generator: nn.Module, vocabulary_size: int, longest: int) -> nn.Module:
    """The discriminator with random weights."""
    if config.method == "relgan":
        usual = RelGANDiscriminatorConfig(vocabulary_size=vocabulary_size)
        own = {"windows": tuple(each for each in usual.windows if each <= longest) or (1,)}
        filters = _share(usual.filters, config.networks.filters)
        return RelGANDiscriminator(dataclasses.replace(usual, filters=filters, **own))
    classifier = TextCNN(_reads(config, vocabulary_size, longest))
    if config.method == "textgan":
        embedding: nn.Embedding = generator.get_submodule("embedding")  # pyright: ignore[reportAssignmentType]
        return CodeReader(classifier, embedding.embedding_dim)
    return classifier


def build_game(
    config: GANConfig,
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    end_id: int,
    separator_id: int | None = None,
) -> Game[Any]:
    """The method's game between the two; on pairs it needs what stands between source and text, see `ColdGAN`."""
    options = {"end_id": end_id, "parts": config.turns.parts}
    settings = config.of_method
    match config.method:
        case "relgan":
            return RelGAN(generator, discriminator, settings, **options)
        case "leakgan":
            assert isinstance(generator, LeakGAN) and isinstance(discriminator, TextCNN), "as they were built"
            return LeakGame(generator, discriminator, settings, **options)
        case "textgan":
            assert isinstance(discriminator, CodeReader), "as it was built"
            return TextGAN(generator, discriminator, settings, **options)
        case "coldgan":
            # Beside longer texts than are kept, shorter ones would have no place.
            kept = max(settings.longest_replayed, config.texts.longest)
            settings = dataclasses.replace(settings, longest_replayed=kept)
            return ColdGAN(generator, discriminator, settings, separator_id=separator_id, **options)
        case _:
            return _PLAIN[config.method](generator, discriminator, settings, **options)


def _reads(config: GANConfig, vocabulary_size: int, longest: int) -> TextCNNConfig:
    """SeqGAN's discriminator, without windows that no text fills."""
    usual = SIZES["seqgan"]
    pairs = [pair for pair in zip(usual.windows, usual.filters, strict=True) if pair[0] <= longest]
    return dataclasses.replace(
        usual,
        vocabulary_size=vocabulary_size,
        windows=tuple(window for window, _ in pairs),
        filters=tuple(_share(filters, config.networks.filters) for _, filters in pairs),
    )


def _share(count: int, share: float) -> int:
    return max(1, round(count * share))
