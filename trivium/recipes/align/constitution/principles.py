"""A constitution: principles in words, each with what is asked of a critic and of a judge in its name.

constitution = read_constitution("harmless")                 # or "company", or a YAML file of one's own
principle, other = constitution.drawn(2, 0, "judge", 17)     # two different ones, the same ones every time

Where two principles want different things the one of higher priority prevails; see `trivium.recipes.align.constitution.
settling`.
"""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Sequence

from trivium import config
from trivium.errors import ConfigError
from trivium.recipes.align.constitution.chance import chance

_FOLDER = pathlib.Path(__file__).with_name("constitutions")
SHIPPED = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""The constitutions of ours, by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Principle:
    """One rule, in the three forms in which it is put."""

    name: str
    """What it is called in the audit; of its own in the constitution."""
    critique_request: str
    """What a critic is asked about the last answer of a conversation."""
    revision_request: str
    """How the critic is then to rewrite that answer."""
    comparison: str
    """The question that a judge answers of two answers: which of them is better."""
    priority: int = 0
    """Of two principles that want different things the one with the higher number prevails."""
    tags: tuple[str, ...] = ()
    """What it is about, by which a part of a constitution can be chosen."""

    def __post_init__(self) -> None:
        for part in ("name", "critique_request", "revision_request", "comparison"):
            if not getattr(self, part).strip():
                raise ConfigError(f"a principle has an empty {part}", received=self.name or "a principle without name")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constitution:
    """The principles that a model is made to follow."""

    principles: tuple[Principle, ...]
    """At least one."""
    about: str = ""
    """For people: what it is for."""

    def __post_init__(self) -> None:
        if not self.principles:
            raise ConfigError("there are no principles", expected="at least one below principles:")
        name, count = Counter(principle.name for principle in self.principles).most_common(1)[0]
        if count > 1:
            raise ConfigError("principles must have names of their own", received=f"{name}, {count} times")

    def tagged(self, tags: Sequence[str]) -> "Constitution":
        """The principles that have one of `tags`; all where none are given. `ConfigError` for a tag that none has."""
        known = sorted({tag for principle in self.principles for tag in principle.tags})
        for tag in tags:
            if tag not in known:
                raise ConfigError(
                    "no principle has this tag",
                    received=tag,
                    expected=", ".join(known) or "a constitution with tags",
                    fix=config.did_you_mean(tag, known),
                )
        chosen = tuple(each for each in self.principles if not tags or set(tags) & set(each.tags))
        return dataclasses.replace(self, principles=chosen)

    def drawn(self, count: int, seed: int, *what: str | int) -> list[Principle]:
        """`count` different principles (or all, where there are fewer), drawn by `seed` for `what` alone."""
        return chance(seed, *what).sample(self.principles, min(count, len(self.principles)))


def read_constitution(name_or_path: str) -> Constitution:
    """One of ours by its name, or a YAML file of the same form.

    Raises:
        ConfigError: no such name, or a file with an unknown key, a missing text or a wrong type.
        StorageError: the file cannot be read.
    """
    if name_or_path in SHIPPED:
        return config.from_yaml(Constitution, _FOLDER / f"{name_or_path}.yaml")
    path = pathlib.Path(name_or_path).expanduser()
    if not path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            "there is no such constitution",
            received=name_or_path,
            expected=f"{', '.join(SHIPPED)}, or a YAML file of principles",
            fix=config.did_you_mean(name_or_path, SHIPPED),
        )
    return config.from_yaml(Constitution, path)
