"""Harmful and harmless texts. Words that offend are made up, so that this file does not."""

HARMFUL = [
    f"you {word} {other} go away {number}" for number in range(10) for word in ("zorb", "zorbs") for other in "abc"
]
HARMLESS = [
    f"the {word} is {other} today {number}" for number in range(10) for word in ("cat", "sun") for other in "abc"
]
