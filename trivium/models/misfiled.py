"""Models that popular lists put into the wrong kind.

Their kind is seen from their papers: a decoder is trained to predict the next token and looks back only. An encoder
looks both ways, and an encoder-decoder has a stack of blocks for either.
"""

MISFILED: dict[str, str] = {
    "gopher": "encoder",
    "lamda": "encoder",
    "palm": "encoder-decoder",
    "bloom": "encoder-decoder",
    "falcon": "encoder",
    "mistral": "encoder",
}
"""What architectures of the table are often taken for; what they are, and who made them, the table says."""
