"""Large numbers as people write them."""


def readable_count(count: int) -> str:
    """A number of parameters or tokens in two or three figures: 990k, 12M, 1.3B."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.2g}{letter}" if count < 100 * size else f"{count / size:.0f}{letter}"
    return str(count)
