"""From the hidden states of a text to one tag for each of its words.

A word may be several pieces: its tag is read at the first of them (Devlin et al. 2019, section 5.3).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.crf import LinearChainCRF


class TaggingHead(nn.Module):
    """Dropout and a linear layer at each word; the tags of a text are independent, or joined by a CRF."""

    def __init__(self, width: int, tags: int, *, crf: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, tags)
        self.crf = LinearChainCRF(tags) if crf else None

    def scores(self, hidden: Float[Tensor, "B T D"], words: Int[Tensor, "B W"]) -> Float[Tensor, "B W N"]:
        """Unnormalised log-probabilities of the tags of each word; ``words`` are the places of their first pieces.

        At least float32: a CRF adds up what all words of a text say.
        """
        rows = torch.arange(hidden.shape[0], device=hidden.device)[:, None]
        scores = self.output(self.dropout(hidden[rows, words]))
        return scores.to(torch.promote_types(scores.dtype, torch.float32))

    def nll_sum(
        self,
        hidden: Float[Tensor, "B T D"],
        words: Int[Tensor, "B W"],
        word_lengths: Int[Tensor, "B"],
        tags: Int[Tensor, "B W"],
    ) -> Float[Tensor, ""]:
        """-sum log p(tags of a row | text) in nats; what stands beyond ``word_lengths`` is not looked at."""
        scores = self.scores(hidden, words)
        if self.crf is not None:
            return self.crf(scores, word_lengths, tags).sum()
        inside = torch.arange(words.shape[1], device=words.device) < word_lengths[:, None]
        return F.cross_entropy(scores[inside], tags[inside], reduction="sum")

    @torch.no_grad()
    def decode(
        self, hidden: Float[Tensor, "B T D"], words: Int[Tensor, "B W"], word_lengths: Int[Tensor, "B"]
    ) -> list[list[int]]:
        """The likeliest tags of each row: of every word by itself, or with a CRF of all its words together."""
        return self.best(self.scores(hidden, words), word_lengths)

    @torch.no_grad()
    def best(self, scores: Float[Tensor, "B W N"], word_lengths: Int[Tensor, "B"]) -> list[list[int]]:
        """As `decode`, of the ``scores`` of the words."""
        if self.crf is not None:
            return self.crf.best_path(scores, word_lengths)
        rows = zip(scores.argmax(-1).tolist(), word_lengths.tolist(), strict=True)
        return [tags[:length] for tags, length in rows]
