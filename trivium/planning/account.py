"""What people reckon with on the back of an envelope, beside what a rehearsal finds."""

import dataclasses

WEIGHT_BYTES = 4
"""Of a parameter in fp32."""
TRAINING_BYTES = 20
"""What full training in fp32 adds to it: 4 for the gradient, 8 for AdamW's two moments, and about 8 for activations and
temporaries. The first two are exact; the last is a rule of thumb, since activations grow with the batch and not with
the parameters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowRank:
    """What a low-rank update of a matrix trains (Hu et al. 2022, section 4.1)."""

    outputs: int
    inputs: int
    rank: int

    @property
    def whole(self) -> int:
        """Numbers of the matrix."""
        return self.outputs * self.inputs

    @property
    def trained(self) -> int:
        """Numbers of B [outputs, rank] and A [rank, inputs]."""
        return self.rank * (self.outputs + self.inputs)

    def __str__(self) -> str:
        return (
            f"a matrix of {self.outputs} x {self.inputs} with r = {self.rank} trains {self.trained:,} numbers "
            f"instead of {self.whole:,} ({1 - self.trained / self.whole:.0%} fewer)"
        )


PUBLISHED_EXAMPLE = LowRank(outputs=512, inputs=64, rank=8)
"""The projections of one head of the first Transformer (Vaswani et al. 2017, section 3.2.2: 512 to 64)."""


def classic_bytes(parameters: int) -> int:
    """What full training in fp32 takes by the classic account."""
    return parameters * (WEIGHT_BYTES + TRAINING_BYTES)


def classic_line(parameters: int) -> str:
    """The classic account of a model in one line, with what it is made of."""
    return (
        f"{WEIGHT_BYTES} bytes a parameter and {TRAINING_BYTES} to train it in fp32 (4 gradient, 8 AdamW's moments, "
        f"about 8 activations and temporaries): {readable_bytes(classic_bytes(parameters))}"
    )


def readable_bytes(size: int) -> str:
    """In GiB from one on, else in MiB: 12.34 GiB, 56.7 MiB."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
