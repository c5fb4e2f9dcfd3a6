"""`trivium chat`: a conversation on the terminal, each answer as it is written."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Literal

import tyro

from trivium.cli import arguments
from trivium.cli.output import print_settings
from trivium.cli.sampling import Sampling
from trivium.cli.verbs import Options, Verb
from trivium.errors import UserError
from trivium.lm.chat import chat_prompt
from trivium.lm.load import load
from trivium.lm.local import LocalModel

_HELP = """\
  /help             these lines
  /undo             forget the last question and its answer
  /reset            forget everything said
  /temperature 0.7  how freely to choose words; 0 always takes the likeliest
  /quit             leave (so does Ctrl-D); Ctrl-C ends an answer"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """Talks with a model. Type /help for what else can be said."""

    model: str
    """The folder of a model, of a checkpoint or of a run."""
    system: str | None = None
    """What to tell the model before the conversation."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = dataclasses.field(default_factory=Sampling)
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format of the weights."""


class Conversation:
    """What was said so far, and how the next answer is chosen."""

    def __init__(self, model: LocalModel, sampling: Sampling, system: str | None = None):
        self.model = model
        self.sampling = sampling
        self._opening = [] if system is None else [{"role": "system", "content": system}]
        self.messages = list(self._opening)

    def ask(self, question: str, show: Callable[[str], None]) -> str:
        """The answer to `question`, given to `show` piece by piece.

        An answer ended by Ctrl-C stays as far as it came; if it fails, neither it nor the question was ever said.
        """
        messages = [*self.messages, {"role": "user", "content": question}]
        assert self.model.tokenizer is not None, "a model that chats has a tokenizer"
        prompt, stops = chat_prompt(self.model.tokenizer, messages)
        chosen = self.sampling.arguments()
        chosen["stop"] = (*chosen["stop"], *stops)
        pieces = []
        try:
            for piece in self.model.stream(prompt, **chosen):
                pieces.append(piece)
                show(piece)
        except KeyboardInterrupt:
            show(" ...")
        answer = "".join(pieces).strip()
        self.messages = [*messages, {"role": "assistant", "content": answer}]
        return answer

    def obey(self, command: str) -> str:
        """Does what a line that begins with "/" asks and returns what to say about it."""
        name, _, rest = command.partition(" ")
        if name == "/help":
            return _HELP
        if name == "/undo":
            if self.messages == self._opening:
                return "  nothing was said yet"
            self.messages = self.messages[:-2]
            return "  the last question and its answer are forgotten"
        if name == "/reset":
            self.messages = list(self._opening)
            return "  everything is forgotten"
        if name == "/temperature":
            return self._set_temperature(rest)
        return f"  there is no {name}\n{_HELP}"

    def _set_temperature(self, text: str) -> str:
        try:
            temperature = float(text)
        except ValueError:
            temperature = -1.0
        if not 0 <= temperature < float("inf"):
            return "  a temperature is 0 or more: /temperature 0.7"
        self.sampling = dataclasses.replace(self.sampling, temperature=temperature)
        return f"  the temperature is {temperature:g}"


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Talks until Ctrl-D or the end of standard input."""
    settings = arguments.parse(ChatConfig, verb, words)
    if options.dry_run:
        print_settings(settings, options)
        return
    if options.json:
        raise UserError(
            "a chat is for people", received="--json", fix="use: trivium generate MODEL --prompt TEXT --json"
        )
    model = load(settings.model, device=settings.device, dtype=settings.dtype)
    if "chat" not in model.capabilities:
        able = ", ".join(sorted(model.capabilities))
        raise UserError(
            "this model cannot chat", received=settings.model, expected=f"a model that can; this can {able}"
        )
    print("Type /help for what else can be said, Ctrl-D to leave.", file=sys.stderr)
    converse(Conversation(model, settings.sampling, settings.system))


def converse(conversation: Conversation) -> None:
    """Reads lines from standard input and answers each, until they end or say /quit."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if line == "/quit":
            return
        if line.startswith("/"):
            print(conversation.obey(line))
        elif line:
            try:
                conversation.ask(line, lambda piece: print(piece, end="", flush=True))
            except UserError as error:  # too long a conversation, say: the rest can go on
                print(f"error: {error}", file=sys.stderr, end="")
            print()
