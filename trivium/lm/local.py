"""``LocalModel``: a network on this machine, with its tokenizer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.adapters import prefix
from trivium.checkpoints.provenance import Origin
from trivium.data.spans import scheme_of
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.generation.engine import Engine
from trivium.generation.prefixes import PrefixCache
from trivium.generation.reading import padded
from trivium.generation.request import Request
from trivium.generation.settings import Constraints, Search
from trivium.lm.chat import chat_prompt
from trivium.lm.classifying import OBJECTIVE, LabelFacts, classify_texts
from trivium.lm.generating import Generator
from trivium.lm.protocol import Generation, Label, Prompts, Score, Tagging
from trivium.lm.purpose import purpose
from trivium.lm.scoring import TOKENS_AT_ONCE, score_causal, score_pseudo
from trivium.lm.tagging import tag_words
from trivium.lm.together import together
from trivium.lm.words import cut_into_words, marked_spans
from trivium.models import Architecture, architecture
from trivium.nn.state import State
from trivium.templates import Message
from trivium.tokenizers import Tokenizer

_CAPABILITIES = {
    "decoder": {"logits", "generate", "stream", "chat", "score", "embed"},
    "recurrent": {"logits", "generate", "stream", "chat", "score", "embed"},
    "bidirectional recurrent": {"logits", "generate", "stream", "chat", "score", "embed"},  # by its forward half
    "encoder": {"logits", "score", "embed"},
    "encoder-decoder": {"logits", "generate", "stream", "embed"},
    "recurrent encoder-decoder": {"logits", "generate", "stream"},
    "classifier": set(),
}
_OF_PURPOSE = {"classification": "classify", "tagging": "tag", "translation": "generate"}
_OF_TEXT = {"stream", "chat", "score", "embed", "classify", "tag"}
_MASKS = ("[MASK]", "<mask>")


class LocalModel:
    """A ``LanguageModel`` made of a network and, where there is one, its tokenizer.

    ``generation`` is the content of ``generation_config.json``; ``config_file`` that of ``config.json``; ``origin``
    says where it was loaded from.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Tokenizer | None = None,
        *,
        generation: Mapping[str, Any] | None = None,
        config_file: Mapping[str, Any] | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.network = network.eval()
        self.tokenizer = tokenizer
        self.config: Any = network.config
        self.generation = dict(generation or {})
        self.origin = origin
        hf = self.config.to_hf()
        file = dict(config_file if config_file is not None else hf)
        self.architecture: Architecture = architecture(hf["model_type"])
        described = {} if origin is None else origin.described
        self.purpose = purpose(hf, described)
        """What the model is for, beside continuing a text; see ``trivium.lm.purpose``."""
        untold = self.architecture.kind == "classifier" and described.get("objective") != OBJECTIVE
        self._label_facts = _head_facts(self.config) if untold else described
        able = _CAPABILITIES[self.architecture.kind]
        self._able = able if self.purpose is None else able | {_OF_PURPOSE[self.purpose]}
        self.capabilities = frozenset(self._able if tokenizer is not None else self._able - _OF_TEXT)
        self._generator = Generator(
            self.network,
            tokenizer,
            generation=self.generation,
            config_file=file,
            encoder_decoder=self._encoder_decoder,
        )

    # Tensors ---------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def logits(
        self,
        ids: Int[Tensor, "B T"],
        decoder_ids: Int[Tensor, "B U"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B _ V"]:
        """Logits at every position of ``ids``; of ``decoder_ids`` for encoder-decoders, whose source is ``ids``.

        ``lengths`` are the valid tokens of each row of ``ids``, which are left-aligned; all where not
        given. Logits beyond a row's length mean nothing.
        """
        self._require("logits")
        ids = ids.to(self._device)
        lengths = None if lengths is None else lengths.to(self._device)
        if self._encoder_decoder != (decoder_ids is not None):
            raise DataError(
                f"{self.architecture.name} {'needs' if self._encoder_decoder else 'does not take'} decoder_ids",
                received=f"decoder_ids={'None' if decoder_ids is None else 'a tensor'}",
                fix="an encoder-decoder takes a source (ids) and a target (decoder_ids); other models ids alone",
            )
        if decoder_ids is None:
            state = self._prefixed(*ids.shape)
            return self.network.head(self.network(ids, lengths=lengths, state=state).hidden)
        state = self.network.encode(ids, lengths)
        return self.network.head(self.network(decoder_ids.to(self._device), state=state).hidden)

    # Text ------------------------------------------------------------------------------------------------------

    def generate(
        self,
        prompts: Prompts,
        *,
        max_new_tokens: int,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        typical_p: float | None = None,
        repetition_penalty: float | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        beams: int | None = None,
        length_penalty: float | None = None,
        n: int = 1,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        adapter: str | None = None,
        constraints: Constraints | None = None,
        search: Search | None = None,
        order: Sequence[str] | None = None,
        draft: "LocalModel | Literal['lookup'] | None" = None,
    ) -> list[Generation]:
        """Answers to each prompt, in order; with ``n`` above 1, ``n`` in a row for each.

        What is None comes from ``generation_config.json``, else decoding is greedy. With a ``seed`` the
        same prompt gets the same answer, whichever others are asked with it. ``adapter`` names a loaded one;
        without it the active one is used, where there is one. ``draft`` guesses ahead for speed, with a smaller
        model or from the text itself ("lookup"), one prompt after the other; what is said stays the same, or as
        probable.
        """
        self._require("generate")
        settings = self._generator.settings(
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            typical_p=typical_p,
            repetition_penalty=repetition_penalty,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            beams=beams,
            length_penalty=length_penalty,
            n=n,
            seed=seed,
            stop=stop,
            constraints=constraints,
            search=search,
            order=None if order is None else tuple(order),
        )
        guesses = draft.network if isinstance(draft, LocalModel) else draft
        return self._generator.answers(prompts, settings, adapter, guesses)

    def stream(self, prompt: str | Sequence[int], *, max_new_tokens: int, **settings: Any) -> Iterator[str]:
        """The text of one answer in pieces, as it grows; together they are the ``text`` that ``generate`` gives.

        A character is never split, and the beginning of a possible stop text is held back until it is
        known not to be one.
        """
        self._require("stream")
        return _pieces(*self.follow(prompt, max_new_tokens=max_new_tokens, **settings))

    def follow(
        self, prompt: str | Sequence[int], *, max_new_tokens: int, adapter: str | None = None, **settings: Any
    ) -> tuple[Request, Iterator[None]]:
        """One answer in the making, and the steps that make it: its ids, probabilities and pieces of text can be
        looked at after each."""
        self._require("stream")
        if settings.pop("draft", None) is not None:
            raise Unsupported(
                "a stream cannot be drafted for", received="draft", fix="use generate, or leave draft out"
            )
        effective = self._generator.settings(max_new_tokens=max_new_tokens, **settings)
        if effective.beams > 1 or effective.search != Search():
            raise Unsupported(
                "a search over several answers has nothing to show before its end",
                received=f"beams={effective.beams}, {effective.search}",
                fix="use generate, or leave the search out",
            )
        asked = self._generator.ask(prompt, effective, adapter, follow=True)
        if len(asked) != 1:
            raise DataError("a stream is one answer", received=f"n={effective.n}", fix="leave n out, or use generate")
        return asked[0], self._generator.run(asked)

    def prompt_ids(self, prompt: str) -> list[int]:
        """The ids that a prompt is read as: with what the vocabulary puts before and after a text."""
        self._require("generate")
        return self._generator.ids_of(prompt)

    def requests(
        self, prompts: Prompts, *, max_new_tokens: int, adapter: str | None = None, **settings: Any
    ) -> list[Request]:
        """What an ``engine`` is given: ``n`` requests a prompt, whose text and stop texts are followed as they grow."""
        self._require("generate")
        effective = self._generator.settings(max_new_tokens=max_new_tokens, **settings)
        return self._generator.ask(prompts, effective, adapter, follow=self.tokenizer is not None)

    def engine(self, *, slots: int = 16, read_tokens: int | None = 512) -> Engine:
        """Continuous batching over this model, for a server: requests come and go between steps."""
        self._require("generate")
        return self._generator.engine(slots=slots, read_tokens=read_tokens)

    def remember(self, tokens: int = 16_384) -> None:
        """From now on keeps what was read, so that a prompt that begins like an earlier one is read from where they
        part. Only for weights that do not change any more; 0 forgets everything and keeps nothing."""
        if tokens < 0:
            raise ConfigError("so many tokens cannot be kept", received=tokens, expected="0 or more")
        self._generator.prefixes = PrefixCache(tokens) if tokens else None

    def chat(self, messages: Sequence[Message], *, max_new_tokens: int = 256, **settings: Any) -> Generation:
        """The assistant's next turn after ``messages``, put into the form the model was trained on."""
        self._require("chat")
        assert self.tokenizer is not None
        prompt, stops = chat_prompt(self.tokenizer, messages)
        given = settings.pop("stop", ())
        stop = (*((given,) if isinstance(given, str) else given), *stops)
        return self.generate([prompt], max_new_tokens=max_new_tokens, stop=stop, **settings)[0]

    def score(self, pairs: Sequence[tuple[str, str]], *, method: Literal["causal", "pseudo"] = "causal") -> list[Score]:
        """How probable each continuation is after its context; see ``trivium.lm.scoring`` for the conventions.

        "causal" reads left to right; "pseudo" is for masked models.
        """
        self._require("score")
        assert self.tokenizer is not None
        fitting = "pseudo" if self.architecture.kind == "encoder" else "causal"
        if method != fitting:
            raise Unsupported(
                f"{self.architecture.name} cannot be scored this way",
                received=f"method={method!r}",
                expected=f"method={fitting!r}",
            )
        if method == "causal":
            return score_causal(self.network, self.tokenizer, pairs)
        mask_id = next((i for mask in _MASKS if (i := self.tokenizer.id(mask)) is not None), None)
        if mask_id is None:
            raise Unsupported("the vocabulary has no mask token", expected=" or ".join(_MASKS))
        return score_pseudo(self.network, self.tokenizer, mask_id, pairs)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        """The mean of the last hidden states of each text (of the encoder's, where there is one), of length 1."""
        self._require("embed")
        assert self.tokenizer is not None
        if isinstance(texts, str):
            raise DataError("embed takes several texts", received="one text", fix="embed([text])")
        before, after = self.tokenizer.prefix_ids, self.tokenizer.suffix_ids
        rows = [before + ids + after for ids in self.tokenizer.encode_batch(texts)]
        empty = [number for number, row in enumerate(rows) if not row]
        if empty:
            raise DataError(f"text {empty[0]} is empty: it has no vector", fix="leave empty texts out")
        vectors: list[Tensor] = [torch.empty(0)] * len(rows)
        for chosen in together([len(row) for row in rows], TOKENS_AT_ONCE):
            tokens, lengths = padded([rows[row] for row in chosen], self._device)
            if self.architecture.kind == "encoder-decoder":
                hidden = self.network.read(tokens, lengths=lengths).hidden
            else:
                hidden = self.network(tokens, lengths=lengths, state=self._prefixed(*tokens.shape)).hidden
            valid = (torch.arange(tokens.shape[1], device=self._device) < lengths[:, None])[..., None]
            mean = torch.where(valid, hidden, 0).sum(1) / lengths[:, None]
            for row, vector in zip(chosen, nn.functional.normalize(mean, dim=-1), strict=True):
                vectors[row] = vector
        return torch.stack(vectors) if vectors else torch.empty(0, self.config.width, device=self._device)

    # Labels ----------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of a classifier or the tags of a tagger, in the order of their classes; none of other models."""
        if self.purpose == "classification":
            return LabelFacts.of(self._label_facts).labels
        return self.config.labels if self.purpose == "tagging" else ()

    @torch.inference_mode()
    def classify(self, texts: Sequence[str]) -> list[Label]:
        """The label of each text, with the probability of every label.

        Of a network with a head for it, or of a language model that was trained to predict the label of a text, or the
        text of a label. Raises ``DataError`` for one text in place of several.
        """
        self._require("classify")
        assert self.tokenizer is not None
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            given = "one text" if isinstance(texts, str) else "what is no text"
            raise DataError("classify takes several texts", received=given, fix="classify([text])")
        labels = self.labels
        return [
            Label(
                label=labels[best],
                probability=probabilities[best],
                probabilities=dict(zip(labels, probabilities, strict=True)),
            )
            for best, probabilities in classify_texts(self.network, self.tokenizer, texts, self._label_facts)
        ]

    @torch.inference_mode()
    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[Tagging]:
        """A tag for each word of each text, and the spans that the tags mark.

        A text is cut into words as ``trivium.lm.words`` says, and spans are places in it. A list of words is taken as
        it is, and the text is its words with a space between each two. Raises ``DataError`` for one text in place of
        several.
        """
        self._require("tag")
        assert self.tokenizer is not None
        if isinstance(texts, str) or not all(isinstance(word, str) and word for text in texts for word in text):
            given = "one text" if isinstance(texts, str) else "a word that is empty, or no text"
            raise DataError("tag takes several texts, or lists of words", received=given, fix="tag([text])")
        cut = [cut_into_words(text) for text in texts]
        found = tag_words(self.network, self.tokenizer, [words for _, words, _ in cut])
        scheme = scheme_of(self.labels)
        return [
            Tagging(words=words, tags=tags, spans=marked_spans(text, places, tags, scheme=scheme))
            for (text, words, places), tags in zip(cut, found, strict=True)
        ]

    # What later releases bring ---------------------------------------------------------------------------------

    def fill(self, text: str) -> str:
        """Not in this release."""
        self._refuse("fill")

    def answer(self, question: str, context: str) -> Any:
        """Not in this release."""
        self._refuse("answer")

    def complete(self, prefix: str, suffix: str) -> str:
        """Not in this release."""
        self._refuse("complete")

    # Inside ----------------------------------------------------------------------------------------------------

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def _encoder_decoder(self) -> bool:
        return self.architecture.kind.endswith("encoder-decoder")

    def _prefixed(self, rows: int, length: int) -> State | None:
        """What texts are read into where the active adapter is a prefix."""
        if not prefix.prefix_tokens(self.network):
            return None
        return prefix.begin_active(self.network, [None] * rows, length)

    def _require(self, capability: str) -> None:
        if capability in self.capabilities:
            return
        if self.tokenizer is None and capability in self._able:
            raise Unsupported(
                f"{capability} needs a tokenizer, and this model has none",
                expected="a folder with tokenizer.json",
                fix="copy the tokenizer's files into the model's folder, or work with ids: generate([[1, 2, 3]], ...)",
            )
        self._refuse(capability)

    def _refuse(self, capability: str) -> NoReturn:
        raise Unsupported(
            f"this {self.architecture.name} model cannot {capability}",
            received=capability,
            expected=", ".join(sorted(self.capabilities)) or "nothing but training",
        )


def _head_facts(config: Any) -> Mapping[str, Any]:
    """What ``trivium.json`` would say of a network with a head, where it does not."""
    return LabelFacts(method="head", labels=config.labels).to_json()


def _pieces(request: Request, steps: Iterator[None]) -> Iterator[str]:
    shown = 0
    for _ in steps:
        yield from request.pieces[shown:]
        shown = len(request.pieces)
