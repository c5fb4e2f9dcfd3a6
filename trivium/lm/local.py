"""``LocalModel``: a network on this machine, with its tokenizer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from trivium.adapters.prefix import beginning
from trivium.adapters.routing import using
from trivium.checkpoints.provenance import Origin
from trivium.errors import DataError, Unsupported
from trivium.generation.decode import Request, check_requests, decode, padded, requests
from trivium.generation.settings import GenerationSettings, resolve, token_ids
from trivium.generation.stopping import StopText, TokenText
from trivium.lm.chat import chat_prompt
from trivium.lm.protocol import Generation, Prompts, Score
from trivium.lm.scoring import TOKENS_AT_ONCE, score_causal, score_pseudo
from trivium.models import Architecture, architecture
from trivium.templates import Message
from trivium.tokenizers import Tokenizer

# Answers decoded together: of a large model this many, since more would only take memory; of a small one, whose steps
# cost more to start than to compute, as many as have room for what they remember.
ROWS_AT_ONCE, MOST_ROWS_AT_ONCE = 64, 512
_REMEMBERED_BYTES = 256 << 20

_CAPABILITIES = {
    "decoder": {"logits", "generate", "stream", "chat", "score", "embed"},
    "recurrent": {"logits", "generate", "stream", "chat", "score", "embed"},
    "encoder": {"logits", "score", "embed"},
    "encoder-decoder": {"logits", "generate", "stream", "embed"},
    "recurrent encoder-decoder": {"logits", "generate", "stream"},
    "classifier": set(),
}
_OF_TEXT = {"stream", "chat", "score", "embed"}
_MASKS = ("[MASK]", "<mask>")
_DONE = object()


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
        self._file = dict(config_file if config_file is not None else self.config.to_hf())
        self.architecture: Architecture = architecture(self.config.to_hf()["model_type"])
        able = _CAPABILITIES[self.architecture.kind]
        self.capabilities = frozenset(able if tokenizer is not None else able - _OF_TEXT)

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
            return self.network.head(self.network(ids, lengths=lengths).hidden)
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
        beams: int = 1,
        length_penalty: float = 1.0,
        n: int = 1,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        adapter: str | None = None,
    ) -> list[Generation]:
        """Answers to each prompt, in order; with ``n`` above 1, ``n`` in a row for each.

        What is None comes from ``generation_config.json``, else decoding is greedy. With a ``seed`` the
        same prompt gets the same answer, whichever others are asked with it. ``adapter`` names a loaded one;
        without it the active one is used, where there is one.
        """
        self._require("generate")
        settings = self._settings(
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
        )
        asked = requests(self._prompt_ids(prompts), settings)
        check_requests(self.network, asked, settings, encoder_decoder=self._encoder_decoder)
        if settings.stop:
            for request in asked:
                self._follow_text(request, settings)
        step = max(1, self._rows_at_once(asked, settings) // n) * n
        for start in range(0, len(asked), step):
            for _ in self._decode(asked[start : start + step], settings, adapter):
                pass
        return [self._generation(request, settings) for request in asked]

    def stream(self, prompt: str | Sequence[int], *, max_new_tokens: int, **settings: Any) -> Iterator[str]:
        """The text of one answer in pieces, as it grows; together they are the ``text`` that ``generate`` gives.

        A character is never split, and the beginning of a possible stop text is held back until it is
        known not to be one.
        """
        self._require("stream")
        adapter = settings.pop("adapter", None)
        effective = self._settings(max_new_tokens=max_new_tokens, **settings)
        request, *others = requests(self._prompt_ids(prompt), effective)
        if others:
            raise DataError("a stream is one answer", received=f"n={effective.n}", fix="leave n out, or use generate")
        check_requests(self.network, [request], effective, encoder_decoder=self._encoder_decoder)
        self._follow_text(request, effective)
        return self._stream(request, effective, adapter)

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
        read = self.network.read if self.architecture.kind == "encoder-decoder" else self.network
        vectors: list[Tensor] = [torch.empty(0)] * len(rows)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        while order:
            step = max(1, TOKENS_AT_ONCE // len(rows[order[-1]]))
            chosen, order = order[-step:], order[:-step]
            tokens, lengths = padded([rows[row] for row in chosen], self._device)
            hidden = read(tokens, lengths=lengths).hidden
            valid = (torch.arange(tokens.shape[1], device=self._device) < lengths[:, None])[..., None]
            mean = torch.where(valid, hidden, 0).sum(1) / lengths[:, None]
            for row, vector in zip(chosen, nn.functional.normalize(mean, dim=-1), strict=True):
                vectors[row] = vector
        return torch.stack(vectors) if vectors else torch.empty(0, self.config.width, device=self._device)

    # What later releases bring ---------------------------------------------------------------------------------

    def fill(self, text: str) -> str:
        """Not in this release."""
        self._refuse("fill")

    def classify(self, texts: Sequence[str]) -> list[Any]:
        """Not in this release."""
        self._refuse("classify")

    def tag(self, texts: Sequence[str]) -> list[Any]:
        """Not in this release."""
        self._refuse("tag")

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

    def _require(self, capability: str) -> None:
        if capability in self.capabilities:
            return
        if self.tokenizer is None and capability in _CAPABILITIES[self.architecture.kind]:
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

    def _settings(self, *, max_new_tokens: int, **arguments: Any) -> GenerationSettings:
        ends = token_ids(self.generation.get("eos_token_id")) or token_ids(self._file.get("eos_token_id"))
        if not ends and self.tokenizer is not None:
            ends = token_ids(self.tokenizer.eos_id)
        return resolve(self.generation, max_new_tokens=max_new_tokens, eos_ids=ends, **arguments)

    def _prompt_ids(self, prompts: Prompts) -> list[list[int]]:
        alone = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int))
        rows: Sequence[Any] = [prompts] if alone else prompts
        return [self._ids_of(row) if isinstance(row, str) else [int(token) for token in row] for row in rows]

    def _ids_of(self, prompt: str) -> list[int]:
        if self.tokenizer is None:
            raise Unsupported(
                "this model has no tokenizer: it takes ids only",
                received="a text",
                fix="copy tokenizer.json into the model's folder, or give ids: generate([[1, 2, 3]], ...)",
            )
        # Special tokens in a user's text are not read as such; chat renders its own.
        ids = self.tokenizer.prefix_ids + self.tokenizer.encode(prompt)
        if self._encoder_decoder:
            return ids + self.tokenizer.suffix_ids
        if ids:
            return ids
        begin = self.tokenizer.bos_id if self.tokenizer.bos_id is not None else self.tokenizer.eos_id
        return [] if begin is None else [begin]

    def _rows_at_once(self, asked: Sequence[Request], settings: GenerationSettings) -> int:
        if self._encoder_decoder or len(asked) <= ROWS_AT_ONCE:
            return ROWS_AT_ONCE
        capacity = max(len(request.prompt) for request in asked) + settings.max_new_tokens
        remembered = sum(tensor.nbytes for tensor in tree_leaves(self.network.new_state(1, capacity)))
        return min(max(ROWS_AT_ONCE, _REMEMBERED_BYTES // max(remembered, 1)), MOST_ROWS_AT_ONCE)

    def _decode(self, asked: Sequence[Request], settings: GenerationSettings, adapter: str | None) -> Iterator[None]:
        start_id = self.config.start_id if self._encoder_decoder else None
        with using(self.network, adapter):
            begin = beginning(self.network)
        steps = decode(self.network, asked, settings, start_id=start_id, begin=begin)
        while True:
            with using(self.network, adapter):  # only while a step runs: several streams may take turns
                if next(steps, _DONE) is _DONE:
                    return
            yield

    def _follow_text(self, request: Request, settings: GenerationSettings) -> None:
        if self.tokenizer is None:
            raise Unsupported("a stop text needs a tokenizer, and this model has none", received=f"{settings.stop}")
        request.text = TokenText(self.tokenizer.decode, self._context(request))
        request.stop = StopText(settings.stop)

    def _context(self, request: Request) -> list[int]:
        """What the first new token is read after: the source of an encoder-decoder is no part of its answer."""
        return [] if self._encoder_decoder else request.prompt[-1:]

    def _stream(self, request: Request, settings: GenerationSettings, adapter: str | None) -> Iterator[str]:
        shown = 0
        for _ in self._decode([request], settings, adapter):
            yield from request.pieces[shown:]
            shown = len(request.pieces)

    def _generation(self, request: Request, settings: GenerationSettings) -> Generation:
        assert request.finish_reason is not None
        return Generation(
            text=self._text_of(request, settings),
            token_ids=request.token_ids,
            logprobs=request.log_probs,
            finish_reason=request.finish_reason,
            settings=settings,
        )

    def _text_of(self, request: Request, settings: GenerationSettings) -> str:
        if request.text is not None:
            return "".join(request.pieces)
        if self.tokenizer is None:
            return ""
        ended = request.token_ids[-1] in settings.eos_ids
        context = self._context(request)
        new = request.token_ids[:-1] if ended else request.token_ids
        return self.tokenizer.decode(context + new)[len(self.tokenizer.decode(context)) :]
