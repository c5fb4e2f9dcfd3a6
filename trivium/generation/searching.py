"""The searches an answer can be found by, and what goes with what.

With beams the most probable answer is looked for; contrastive search takes tokens one after the other; best-of
samples several answers. Only one of the three at a time.
"""

import math
from dataclasses import dataclass

from trivium.errors import Unsupported
from trivium.generation.checks import check_numbers, require


@dataclass(frozen=True, kw_only=True)
class Search:
    """How several answers are grown and compared."""

    groups: int = 1
    """Groups of beams that are kept unlike each other (Vijayakumar et al. 2018); a divisor of the beams."""
    diversity_penalty: float = 0.0
    """What a token loses for each beam of an earlier group that chose it in the same step."""
    coverage_penalty: float = 0.0
    """Weight of the source tokens a beam has not attended to (Wu et al. 2016, eq. 14); encoder-decoders only."""
    early_stopping: bool | None = False
    """True ends a beam search at as many finished answers as beams; False where no open one seems able to win;
    None where none can."""
    renormalise: bool = False
    """After the processors, beams are compared by probabilities that sum to 1 again; as opus-mt's files ask for."""
    contrastive_alpha: float = 0.0
    """Weight of the degeneration penalty of contrastive search among the `top_k` best (Su et al. 2022, eq. 5)."""
    best_of: int | None = None
    """Answers sampled for each prompt, of which the `n` with the highest mean log-probability are given."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name, most in (("diversity_penalty", math.inf), ("coverage_penalty", math.inf), ("contrastive_alpha", 1)):
            value = getattr(self, name)
            require(
                0 <= value <= most and value < math.inf,
                f"{name} is a weight",
                received=f"{name}={value}",
                expected="0 to 1" if most == 1 else "0 or a positive number",
                fix=f"leave {name} out for none",
            )
        for name, value in (("groups", self.groups), ("best_of", self.best_of)):
            require(
                value is None or value >= 1,
                f"{name} is a number of answers" if name == "best_of" else "a search needs a group of beams",
                received=f"{name}={value}",
                expected="at least 1",
                fix=f"leave {name} out",
            )
        require(
            self.early_stopping in (True, False, None),
            "early_stopping cannot be used",
            received=f"early_stopping={self.early_stopping!r}",
            expected="True, False or None (what transformers calls never)",
            fix="leave early_stopping out",
        )
        require(
            (self.groups > 1) == (self.diversity_penalty > 0),
            "groups of beams differ by the diversity penalty alone, and it acts between groups alone",
            received=f"groups={self.groups} and diversity_penalty={self.diversity_penalty}",
            expected="both set, or none of them",
            fix="set diversity_penalty=0.5" if self.groups > 1 else "set groups, a divisor of the beams",
        )

    def check(self, *, beams: int, n: int, top_k: int | None, temperature: float) -> None:
        """Refuses the other settings of a call where they do not go with the search."""
        if beams > 1:
            self._check_beams(beams, n, temperature)
        else:
            for name in ("groups", "diversity_penalty", "coverage_penalty", "renormalise"):
                require(
                    getattr(self, name) == getattr(Search, name),
                    f"{name} is a setting of a beam search",
                    received=f"{name}={getattr(self, name)} with beams=1",
                    expected="beams of at least 2",
                    fix=f"set beams, or leave {name} out",
                )
        if self.contrastive_alpha:
            self._check_contrastive(beams, top_k, temperature)
        if self.best_of is not None:
            self._check_best_of(self.best_of, n, temperature)

    def _check_beams(self, beams: int, n: int, temperature: float) -> None:
        if temperature:
            raise Unsupported(
                "a beam search does not sample in this release",
                received=f"beams={beams} and temperature={temperature}",
                expected="beams, or a temperature",
                fix="leave temperature, top_k, top_p, min_p and typical_p out, or set beams=1",
            )
        require(
            beams % self.groups == 0,
            "the beams cannot be shared out among the groups",
            received=f"beams={beams} and groups={self.groups}",
            expected="as many groups as divide the beams",
            fix=f"set beams={self.groups * math.ceil(beams / self.groups)}",
        )
        require(
            n <= beams,
            "more answers are asked for than the search keeps",
            received=f"n={n} and beams={beams}",
            expected="n of at most beams",
            fix=f"set beams={n}, or beams=1 and a temperature",
        )

    def _check_contrastive(self, beams: int, top_k: int | None, temperature: float) -> None:
        for holds, also, fix in (
            (beams == 1, f"beams={beams}", "set beams=1"),
            (not temperature, f"temperature={temperature}", "leave temperature, top_p, min_p and typical_p out"),
            ((top_k or 0) >= 2, f"top_k={top_k}", "set top_k, to 4 or so"),
        ):
            require(
                holds,
                "contrastive search chooses among the top_k best without sampling",
                received=f"contrastive_alpha={self.contrastive_alpha} and {also}",
                expected="top_k of at least 2, no beams and no temperature",
                fix=fix,
            )

    def _check_best_of(self, best_of: int, n: int, temperature: float) -> None:
        require(
            best_of >= n,
            "fewer answers are sampled than asked for",
            received=f"best_of={best_of} and n={n}",
            expected="best_of of at least n",
            fix=f"set best_of={n} or more",
        )
        require(
            temperature > 0,
            "without sampling all answers are the same, and none is the best",
            received=f"best_of={best_of} and temperature={temperature}",
            expected="a temperature above 0",
            fix="set temperature=1",
        )


NO_SEARCH = Search()
