"""`trivium chat`: a conversation on the terminal, each answer as it is written."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Literal

import tyro

from trivium.cli import arguments, probabilities
from trivium.cli.chat_commands import COMMANDS, Reply, obey
from trivium.cli.conversation import Conversation, check_output
from trivium.cli.dry_run import using
from trivium.cli.interrupts import Interrupts
from trivium.cli.output import print_plan
from trivium.cli.sampling import Sampling
from trivium.cli.terminal import Reader, console, edited, write
from trivium.cli.verbs import Options, Verb
from trivium.errors import UserError
from trivium.lm.load import load


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """Talks with a model. Type /help for what else can be said."""

    model: str
    """The folder of a model, of a checkpoint or of a run; or a service: openai:MODEL, anthropic:MODEL,
    openai:MODEL@http://127.0.0.1:8000/v1, or a .yaml file of its settings."""
    system: str | None = None
    """What to tell the model before the conversation."""
    adapter: str | None = None
    """The folder of a PEFT adapter to answer with."""
    any_base: bool = False
    """Use the adapter also on other weights than those it was made for: you know better."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = dataclasses.field(default_factory=Sampling)
    show_probabilities: bool = False
    """After each answer, tell how probable each of its tokens was; /probabilities off ends it."""
    output: pathlib.Path | None = None
    """File that the conversation is saved to after each answer; /load reads it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format of the weights."""


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Talks until Ctrl-D or the end of standard input."""
    settings = arguments.parse(ChatConfig, verb, words)
    if options.dry_run:
        print_plan(settings, using.chatting(settings), options)
        return
    if options.json:
        raise UserError(
            "a chat is for people", received="--json", fix="use: trivium generate MODEL --prompt TEXT --json"
        )
    if settings.output is not None:
        check_output(settings.output)  # not after the first answer
    model = load(
        settings.model,
        adapter=settings.adapter,
        any_base=settings.any_base,
        device=settings.device,
        dtype=settings.dtype,
    )
    if "chat" not in model.capabilities:
        able = ", ".join(sorted(model.capabilities))
        raise UserError(
            "this model cannot chat", received=settings.model, expected=f"a model that can; this can {able}"
        )
    if settings.show_probabilities:
        probabilities.require_probabilities(model)
    print("Type /help for what else can be said, Ctrl-D to leave.", file=sys.stderr)
    conversation = Conversation(model, settings.sampling, settings.system)
    Chat(conversation, output=settings.output, probabilities=settings.show_probabilities).run()


class Chat:
    """The conversation as a person sees it: a question, its answer as it grows, and what the commands tell."""

    def __init__(self, conversation: Conversation, *, output: pathlib.Path | None = None, probabilities: bool = False):
        self._conversation = conversation
        self._output = output
        self._probabilities = probabilities
        self._view = console()
        self._reader = Reader([command.name for command in COMMANDS])

    def run(self) -> None:
        """Reads what is said and answers it, until it ends or says /quit.

        On a terminal Ctrl-C ends what is being done, wherever it is, and never the chat.
        """
        with Interrupts(sys.stdin.isatty()) as interrupts:
            going = True
            while going:
                self._keep()
                try:
                    interrupts.listen()
                    going = self._turn()
                    interrupts.ignore()
                except KeyboardInterrupt:
                    if not sys.stdin.isatty():
                        raise
                    print("\n(Ctrl-D or /quit leaves)", file=sys.stderr)
            self._keep()

    def _turn(self) -> bool:
        """What is said next, and what comes of it; False to leave."""
        try:
            line = self._reader.read()
        except EOFError:
            if self._view.is_terminal:
                print()
            return False
        if line.startswith("//"):  # a question that begins with a slash
            self._ask(line[1:])
        elif line.startswith("/"):
            return self._follow(obey(self._conversation, line))
        elif line.strip():
            self._ask(line)
        return True

    def _follow(self, reply: Reply) -> bool:
        """Does what came of a command; False to leave."""
        for line in reply.text.splitlines():
            write(self._view, f"  {line}\n", "dim")
        if reply.probabilities is not None:
            self._probabilities = reply.probabilities
        if reply.look:
            self._look()
        if reply.edit is not None:
            self._edit(reply.edit)
        if reply.ask is not None:
            write(self._view, f"> {reply.ask}\n", "dim")
            self._ask(reply.ask, instead=True)
        return not reply.leave

    def _ask(self, question: str, *, instead: bool = False) -> None:
        """Answers a question; `instead` of the last one, which stays where this one cannot be answered."""
        try:
            self._conversation.ask(question.strip(), lambda piece: write(self._view, piece, "cyan"), instead=instead)
        except UserError as error:  # too long a conversation, say: the rest can go on
            print(f"error: {error}\n  /undo, /reset or another /sampler may help", file=sys.stderr)
            return
        self._view.print()
        if self._probabilities:
            self._look()

    def _keep(self) -> None:
        """Saves an answer where that is asked for; a disk that is full ends no conversation."""
        if self._output is None or not self._conversation.unsaved:
            return
        try:
            self._conversation.save(self._output)
        except (OSError, UserError) as error:
            print(f"error: {self._output} is not saved: {error}\n  /save FILE saves elsewhere", file=sys.stderr)

    def _edit(self, question: str) -> None:
        """Lets the last question be changed and asked instead; where it is empty then, what was said stays."""
        changed = edited(question)
        if changed is None:
            try:
                changed = self._reader.read(prefilled=question)
            except (EOFError, KeyboardInterrupt):
                changed = ""
        if not changed.strip():
            write(self._view, "  nothing is asked; what was said stays\n", "dim")
            return
        self._ask(changed, instead=True)

    def _look(self) -> None:
        seen = self._conversation.seen()
        if seen:
            probabilities.show(self._view, seen)
        else:
            write(self._view, "  the last answer was loaded or taken back: ask something first\n", "dim")
