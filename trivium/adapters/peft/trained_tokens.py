"""TRAINABLE_TOKENS, and ``trainable_token_indices`` of a LoRA: rows of the embedding as they are, not what they add."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.holder import base_modules, holders
from trivium.adapters.peft.form import PREFIX, Form, Tensors, refuse
from trivium.adapters.published import module_name, published
from trivium.adapters.shared_table import sharers
from trivium.adapters.sites import match
from trivium.adapters.trained_tokens import TrainedRows, TrainedTokensConfig
from trivium.nn.head import OutputHead

_DELTA = "trainable_tokens_delta"


def read_tokens(model: nn.Module, options: Mapping[str, Any]) -> TrainedTokensConfig | None:
    """``Unsupported`` for other tables than the embedding and the output head, and for different ids in the two."""
    given = options.get("trainable_token_indices")
    if not given:
        return None
    by_table = dict(given) if isinstance(given, dict) else {embedding_name(model): given}
    lists = {tuple(ids) for ids in by_table.values()}
    if len(lists) > 1:
        refuse({"trainable_token_indices": "different ids for different tables"})
    if sharers(model) and len(by_table) > 1:  # the head has the embedding's rows without being asked
        by_table = {name: ids for name, ids in by_table.items() if name != head_name(model)}
    return TrainedTokensConfig(tokens=lists.pop(), head=_reads_head(model, tuple(by_table), "trainable_token_indices"))


def write_tokens(model: nn.Module, config: TrainedTokensConfig) -> list[int] | dict[str, list[int]]:
    """The inverse."""
    ids, head = list(config.tokens), head_name(model)
    return {embedding_name(model): ids, head: ids} if config.head and head is not None else ids


def row_tensors(model: nn.Module, name: str, *, inside: str = "") -> dict[str, Tensor]:
    """The rows of ``name`` under PEFT's names; ``inside``: the module of a LoRA that holds them there."""
    return {f"{PREFIX}{part.theirs}.{inside}{_DELTA}": part.rows.detach().clone() for part in _rows(model, name)}


def fill_rows(model: nn.Module, name: str, tensors: Tensors, *, inside: str = "") -> None:
    """The inverse."""
    for part in _rows(model, name):
        part.rows.copy_(tensors[f"{PREFIX}{part.theirs}.{inside}{_DELTA}"])


def embedding_name(model: nn.Module) -> str:
    """As PEFT calls the table of token vectors."""
    return module_name(model, "embedding")


def head_name(model: nn.Module) -> str | None:
    """As PEFT calls the output head, also a tied one; None where nothing says."""
    heads = [path for path, module in base_modules(model).items() if isinstance(module, OutputHead)]
    return module_name(model, heads[0]) if heads and f"{heads[0]}.weight" in published(model) else None


def _reads_head(model: nn.Module, targets: tuple[str, ...], option: str) -> bool:
    """Whether ``targets`` name the output head beside the embedding, in any order; one that is tied is not asked."""
    embedding, head = embedding_name(model), head_name(model)
    first = [target for target in targets if f".{embedding}".endswith(f".{target}")]
    second = [target for target in targets if head is not None and f".{head}".endswith(f".{target}")]
    tied = bool(sharers(model))
    if len(first) != 1 or len(first) + len(second) != len(targets) or (tied and second):
        refuse({option: list(targets)})
    return bool(second)


def _rows(model: nn.Module, name: str) -> Iterator[TrainedRows]:
    """Each once: tied modules have the same."""
    seen: set[TrainedRows] = set()
    for _, holder in holders(model, name):
        part = holder.updates[name]
        if isinstance(part, TrainedRows) and part not in seen:
            seen.add(part)
            yield part


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: TrainedTokensConfig = adapters_of(model).configs[name]
    targets = [embedding_name(model)] + ([head_name(model)] if config.head else [])
    return {"token_indices": list(config.tokens), "target_modules": targets}


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> TrainedTokensConfig:
    targets = options.get("target_modules") or [embedding_name(model)]
    if isinstance(targets, str):
        targets = [site.theirs for site in match(model, targets)]
    return TrainedTokensConfig(
        tokens=tuple(options["token_indices"]), head=_reads_head(model, tuple(targets), "target_modules")
    )


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """A tied head is stored too, with the same rows."""
    shared = {
        f"{PREFIX}{part.shared_with}.{_DELTA}": part.rows.detach().clone()
        for part in _rows(model, name)
        if part.shared_with is not None
    }
    return row_tensors(model, name) | shared


TRAINABLE_TOKENS = Form(
    peft_type="TRAINABLE_TOKENS",
    config=TrainedTokensConfig,
    needed=frozenset({"token_indices"}),
    read=frozenset({"target_modules"}),
    without_effect=frozenset({"init_weights"}),
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=fill_rows,
)
