"""``LocalModel``: a network on this machine, with its tokenizer."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.checkpoints.provenance import Origin
from trivium.errors import ConfigError
from trivium.generation.engine import Engine
from trivium.generation.prefixes import PrefixCache
from trivium.generation.request import Request
from trivium.generation.settings import Constraints, Search
from trivium.lm.answering import answer_all
from trivium.lm.capabilities import able, refusal, with_tokenizer
from trivium.lm.chat import chat_prompt
from trivium.lm.classifying import OBJECTIVE, LabelFacts, head_facts, label_texts, regress_texts
from trivium.lm.completing import completions
from trivium.lm.embedding import EmbeddingFacts, embed_texts
from trivium.lm.filling import fill
from trivium.lm.generating import Generator, pieces
from trivium.lm.networks import logits_of, read_for_a_vector
from trivium.lm.protocol import Answer, Embeddings, Filling, Generation, Label, Prompts, Score, Tagging
from trivium.lm.purpose import purpose
from trivium.lm.reading import check_like_training, check_texts, trained_on_pairs
from trivium.lm.scoring import score
from trivium.lm.tagging import tag_texts
from trivium.models import Architecture, architecture
from trivium.templates import Message
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Text


class LocalModel:
    """A ``LanguageModel`` made of a network and, where there is one, its tokenizer.

    ``generation`` is the content of ``generation_config.json``; ``config_file`` that of ``config.json``; ``origin``
    says where it was loaded from, and ``embedding`` how its folder makes a vector of a text.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Tokenizer | None = None,
        *,
        generation: Mapping[str, Any] | None = None,
        config_file: Mapping[str, Any] | None = None,
        origin: Origin | None = None,
        embedding: EmbeddingFacts | None = None,
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
        self.purpose = purpose({**file, "model_type": hf["model_type"]}, described)
        """What the model is for, beside continuing a text; see ``trivium.lm.purpose``."""
        self.embedding = embedding or EmbeddingFacts.of(described)
        """How a vector is made of a text."""
        labels = self.purpose == "classification" and described.get("objective") != OBJECTIVE
        self._label_facts = head_facts(self.config) if labels else described
        self._able = able(self.architecture, self.config, self.purpose)
        self.capabilities = with_tokenizer(self._able, tokenizer)
        self._generator = Generator(
            self.network,
            tokenizer,
            generation=self.generation,
            config_file=file,
            encoder_decoder=self._encoder_decoder,
        )

    # Tensors ---------------------------------------------------------------------------------------------------

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
        return logits_of(self.network, self.architecture, ids, decoder_ids, lengths)

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

    def sample(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        stop: Sequence[str] = (),
        adapter: str | None = None,
    ) -> list[Generation]:
        """An answer to each prompt from the model's own distribution at ``temperature``, each with a seed of its own:
        what a policy learns from. Nothing of ``generation_config.json`` counts but the tokens that end a text."""
        self._require("generate")
        return self._generator.sampled(
            prompts, seeds, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, adapter=adapter
        )

    def stream(self, prompt: str | Sequence[int], *, max_new_tokens: int, **settings: Any) -> Iterator[str]:
        """The text of one answer in pieces, as it grows; together they are the ``text`` that ``generate`` gives.

        A character is never split, and the beginning of a possible stop text is held back until it is
        known not to be one.
        """
        self._require("stream")
        return pieces(*self.follow(prompt, max_new_tokens=max_new_tokens, **settings))

    def follow(
        self, prompt: str | Sequence[int], *, max_new_tokens: int, adapter: str | None = None, **settings: Any
    ) -> tuple[Request, Iterator[None]]:
        """One answer in the making, and the steps that make it: its ids, probabilities and pieces of text can be
        looked at after each."""
        self._require("stream")
        asked = self._generator.ask_one(prompt, adapter, max_new_tokens=max_new_tokens, **settings)
        return asked, self._generator.run([asked])

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
        tokenizer = self._for_text("chat")
        prompt, stops = chat_prompt(tokenizer, messages)
        given = settings.pop("stop", ())
        stop = (*((given,) if isinstance(given, str) else given), *stops)
        return self.generate([prompt], max_new_tokens=max_new_tokens, stop=stop, **settings)[0]

    def score(self, pairs: Sequence[tuple[str, str]], *, method: Literal["causal", "pseudo"] = "causal") -> list[Score]:
        """How probable each continuation is after its context; see ``trivium.lm.scoring`` for the conventions.

        "causal" reads left to right; "pseudo" is for masked models.
        """
        tokenizer = self._for_text("score")
        return score(self.network, tokenizer, pairs, method)

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        """A vector of length 1 for each text: the mean of its last hidden states (of the encoder's, where there is
        one), or what its folder says; see ``trivium.lm.embedding``.

        The end of a text that is longer than the model reads is left out; ``embeddings`` tells how much.
        """
        return self.embeddings(texts).vectors

    def embeddings(self, texts: Sequence[str]) -> Embeddings:
        """What ``embed`` gives, and how many tokens of each text did not fit."""
        tokenizer = self._for_text("embed")
        read = functools.partial(read_for_a_vector, self.network, self.architecture)
        return embed_texts(self.network, tokenizer, texts, self.embedding, read)

    # Labels ----------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of a classifier or the tags of a tagger, in the order of their classes; none of other models."""
        if self.purpose == "classification":
            return LabelFacts.of(self._label_facts).labels
        return self.config.labels if self.purpose == "tagging" else ()

    def classify(self, texts: Sequence[Text]) -> list[Label]:
        """The label of each text, or pair of texts that belong together, with the probability of every label.

        Of a network with a head for it, or of a language model that was trained to predict the label of a text, or the
        text of a label. Raises ``DataError`` for one text in place of several, ``Unsupported`` for pairs where the
        model reads one text.
        """
        tokenizer = self._for_text("classify")
        return label_texts(self.network, tokenizer, texts, self._label_facts)

    def regress(self, texts: Sequence[Text]) -> list[float]:
        """The number that the model estimates of each text, or pair of texts: how alike two sentences are."""
        tokenizer = self._for_text("regress")
        check_texts(texts, "regress")
        check_like_training(texts, trained_on_pairs(self._label_facts))
        return regress_texts(self.network, tokenizer, texts, self._trained_context)

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[Tagging]:
        """A tag for each word of each text, and the spans that the tags mark.

        A text is cut into words as ``trivium.lm.words`` says, and spans are places in it. A list of words is taken as
        it is, and the text is its words with a space between each two. Raises ``DataError`` for one text in place of
        several.
        """
        tokenizer = self._for_text("tag")
        return tag_texts(self.network, tokenizer, texts, context_tokens=self._trained_context)

    # Parts of texts --------------------------------------------------------------------------------------------

    def fill(self, text: str, *, top: int = 5) -> Filling:
        """The text with its blanks filled, and up to ``top`` candidates of each, the best first.

        A blank is the vocabulary's mask token, or a sentinel <extra_id_0>, <extra_id_1>, ... for models that know
        them; see ``trivium.lm.filling`` for what the candidates of each kind of model are. Raises ``DataError`` for a
        text without a blank, and for one that is longer than a masked model reads.
        """
        tokenizer = self._for_text("fill")
        write = self._written_for_blanks if self._encoder_decoder else None
        return fill(self.network, tokenizer, text, write, top=top)

    def answer(self, question: str, context: str, *, longest_answer: int = 30, no_answer: bool = False) -> Answer:
        """What ``context`` says to ``question``, in at most ``longest_answer`` tokens; see ``trivium.lm.answering``.

        With ``no_answer`` a model that marks spans may say that there is none; one that writes says what it likes.
        """
        return self.answers([(question, context)], longest_answer=longest_answer, no_answer=no_answer)[0]

    def answers(
        self, asked: Sequence[tuple[str, str]], *, longest_answer: int = 30, no_answer: bool = False
    ) -> list[Answer]:
        """``answer`` to each (question, context), those of about one length together."""
        tokenizer = self._for_text("answer")
        return answer_all(
            self.network,
            tokenizer,
            asked,
            self.generate,
            longest_answer=longest_answer,
            no_answer=no_answer,
            context_tokens=self._trained_context,
        )

    def complete(self, prefix: str, suffix: str, **settings: Any) -> str:
        """What stands between ``prefix`` and ``suffix``; the settings are those of ``generate``."""
        return self.completions([(prefix, suffix)], **settings)[0].text

    def completions(self, pairs: Sequence[tuple[str, str]], **settings: Any) -> list[Generation]:
        """``complete`` for each (prefix, suffix), in order; see ``trivium.lm.completing``."""
        return completions(self._generator, self._for_text("complete"), pairs, **settings)

    # Inside ----------------------------------------------------------------------------------------------------

    @property
    def _trained_context(self) -> int | None:
        """Tokens of the longest row that the model was trained on, where its folder says so."""
        stated = self._label_facts.get("context_tokens")
        return stated if type(stated) is int and stated > 0 else None

    @property
    def _encoder_decoder(self) -> bool:
        return self.architecture.kind.endswith("encoder-decoder")

    def _written_for_blanks(self, ids: list[int], n: int, new_tokens: int) -> list[Generation]:
        return self.generate([ids], max_new_tokens=new_tokens, beams=n, n=n)

    def _require(self, capability: str) -> None:
        if capability not in self.capabilities:
            raise refusal(capability, self.architecture, self._able, self.tokenizer)

    def _for_text(self, capability: str) -> Tokenizer:
        self._require(capability)
        assert self.tokenizer is not None
        return self.tokenizer
