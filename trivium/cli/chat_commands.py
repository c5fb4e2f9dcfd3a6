"""What a person may ask of a chat beside its answers: the lines that begin with a slash."""

import dataclasses
import pathlib
import typing
from collections.abc import Callable
from typing import Any

from trivium.cli.conversation import Conversation
from trivium.cli.dry_run.using import choosing
from trivium.cli.probabilities import require_probabilities
from trivium.cli.sampling import Sampling
from trivium.config import did_you_mean
from trivium.errors import ConfigError, UserError
from trivium.lm.hosted.model import HostedModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """What comes of a command."""

    text: str = ""
    """What to tell."""
    ask: str | None = None
    """A question to ask next instead of the last one, as if it had been typed."""
    edit: str | None = None
    """The last question, to let the person change it before it is asked again."""
    probabilities: bool | None = None
    """Show the probabilities after each answer from now on, or no more."""
    look: bool = False
    """Show the probabilities of the last answer."""
    leave: bool = False
    """End the chat."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """One of them."""

    name: str
    takes: str
    """What may follow it, for the help."""
    summary: str
    obey: Callable[[Conversation, str], Reply]


_CHOICE = ("temperature", "top_k", "top_p", "min_p", "typical_p", "greedy")
# What each name stands for; whatever else chooses tokens is then left out.
SAMPLERS: dict[str, dict[str, Any]] = {
    "greedy": {"greedy": True},
    "precise": {"temperature": 0.3, "top_p": 0.9},
    "creative": {"temperature": 1.0, "min_p": 0.05},
    "model": {},
}
"""Ways of choosing tokens by name; "model" is what its generation_config.json says."""


def obey(conversation: Conversation, line: str) -> Reply:
    """Does what a line that begins with "/" asks."""
    name, _, rest = line.strip().partition(" ")
    for command in COMMANDS:
        if command.name == name:
            try:
                return command.obey(conversation, rest.strip())
            except UserError as error:
                return Reply(text=f"error: {error}")
            except OSError as error:
                return Reply(text=f"error: {error.strerror}: {error.filename}")
    near = did_you_mean(name, [command.name for command in COMMANDS])
    return Reply(text=f"there is no {name}: {near or 'see /help'}")


def _help(conversation: Conversation, rest: str) -> Reply:
    width = max(len(f"{command.name} {command.takes}") for command in COMMANDS)
    lines = [f"{f'{command.name} {command.takes}':<{width}}  {command.summary}" for command in COMMANDS]
    lines.append("Ctrl-C ends an answer, Ctrl-D leaves. A line that ends in \\ goes on in the next;")
    lines.append("so do all lines between two lines of ``` and nothing else.")
    return Reply(text="\n".join(lines))


def _undo(conversation: Conversation, rest: str) -> Reply:
    if conversation.undo() is None:
        return _NOTHING
    return Reply(text="the last question and its answer are forgotten")


def _edit(conversation: Conversation, rest: str) -> Reply:
    question = conversation.question
    if question is None:
        return _NOTHING
    return Reply(ask=rest) if rest else Reply(edit=question)


def _retry(conversation: Conversation, rest: str) -> Reply:
    question = conversation.question
    return _NOTHING if question is None else Reply(ask=question)


def _history(conversation: Conversation, rest: str) -> Reply:
    who = {"system": "told before", "user": "you", "assistant": "model"}
    lines = [f"{who[message['role']]}: {message['content']}" for message in conversation.messages]
    return Reply(text="\n".join(lines)) if lines else _NOTHING


def _reset(conversation: Conversation, rest: str) -> Reply:
    conversation.reset()
    return Reply(text="everything that was said is forgotten")


def _system(conversation: Conversation, rest: str) -> Reply:
    if not rest:
        return Reply(text=f"before the conversation the model is told: {conversation.system or 'nothing'}")
    conversation.set_system(None if rest == "-" else rest)
    return Reply(text="the model is told so" if rest != "-" else "the model is told nothing")


def _save(conversation: Conversation, rest: str) -> Reply:
    conversation.save(_path(rest, "/save talk.jsonl"))
    return Reply(text=f"saved to {rest}; answers in it: {conversation.turns}")


def _load(conversation: Conversation, rest: str) -> Reply:
    conversation.load(_path(rest, "/load talk.jsonl"))
    return Reply(text=f"loaded from {rest}; answers in it: {conversation.turns}")


def _path(text: str, example: str) -> pathlib.Path:
    if not text:
        raise UserError("which file?", fix=f"say {example}")
    return pathlib.Path(text).expanduser()


def _sampler(conversation: Conversation, rest: str) -> Reply:
    if rest:
        changes: dict[str, Any] = SAMPLERS[rest] if rest in SAMPLERS else _assignments(rest)
        # A name stands for a whole way of choosing; single settings change the present one.
        left_out = {name: Sampling.__dataclass_fields__[name].default for name in _CHOICE} if rest in SAMPLERS else {}
        if changes.get("temperature") is not None:
            left_out["greedy"] = False
        conversation.change_sampling(**{**left_out, **changes})
    return Reply(text="tokens are chosen so: " + ", then ".join(choosing(conversation.settings())))


def _temperature(conversation: Conversation, rest: str) -> Reply:
    return _sampler(conversation, f"temperature={rest}" if rest else "")


def _seed(conversation: Conversation, rest: str) -> Reply:
    if rest:
        conversation.change_sampling(**_assignments(f"seed={rest}"))
    seed = conversation.sampling.seed
    if seed is None:
        return Reply(text="there is no seed: each answer is drawn anew")
    return Reply(text=f"the seed is {seed}: the same conversation gets the same answer")


def _settings(conversation: Conversation, rest: str) -> Reply:
    """Each setting as it is in force: what was asked for, else what the model's own file says."""
    effective = conversation.settings()
    rows = []
    for name in typing.get_type_hints(Sampling):
        value = getattr(conversation.sampling, name)
        for place in (effective, effective.constraints):
            value = getattr(place, name, value)
        rows.append((name, _in_words(value)))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return Reply(
        text="\n".join([*lines, "/sampler NAME=VALUE changes one; /sampler tells what is done in which order"])
    )


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(each if each.isidentifier() else repr(each) for each in value) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _assignments(text: str) -> dict[str, Any]:
    """`temperature=0.7,top_p=0.9` as values. Raises `ConfigError` for what is no setting of sampling."""
    # A text may hold a comma or a space: those are for the command line.
    kinds = {name: kind for name, kind in typing.get_type_hints(Sampling).items() if "str" not in str(kind)}
    values: dict[str, Any] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if name not in kinds or not equals:
            near = did_you_mean(name, [*SAMPLERS, *kinds])
            raise ConfigError(
                "there is no such sampler",
                received=part,
                expected=f"{', '.join(SAMPLERS)}, or settings such as temperature=0.7,top_p=0.9",
                fix=near,
            )
        values[name] = _value(name, value, str(kinds[name]))
    return values


def _value(name: str, text: str, kind: str) -> Any:
    if text.lower() == "none" and "None" in kind:
        return None
    try:
        if "bool" in kind:
            return {"true": True, "false": False}[text.lower()]
        return float(text) if "float" in kind else int(text)
    except (ValueError, KeyError) as error:
        wanted = "true or false" if "bool" in kind else "a number" if "float" in kind else "a whole number"
        raise ConfigError(f"{name} cannot be used", received=text, expected=wanted) from error


def _probabilities(conversation: Conversation, rest: str) -> Reply:
    if rest != "off":
        require_probabilities(conversation.model)
    if rest in ("on", "off"):
        return Reply(text=f"probabilities after each answer: {rest}", probabilities=rest == "on")
    if rest:
        return Reply(text="say /probabilities, /probabilities on or /probabilities off")
    return Reply(look=True) if conversation.turns else _NOTHING


def _tokens(conversation: Conversation, rest: str) -> Reply:
    if isinstance(conversation.model, HostedModel):
        used = conversation.model.usage
        cost = "" if used.cost is None else f", for {used.cost:.4f} {conversation.model.config.spending.currency}"
        return Reply(text=f"the service read {used.input_tokens:,} tokens and wrote {used.output_tokens:,}{cost}")
    whole, last = conversation.tokens()
    limit = getattr(conversation.model.config, "context_tokens", None)
    room = "" if limit is None else f" of the {limit:,} that the model was made for"
    return Reply(text=f"the conversation is {whole:,} tokens{room}; the last answer {last:,}")


def _quit(conversation: Conversation, rest: str) -> Reply:
    return Reply(leave=True)


_NOTHING = Reply(text="nothing was said yet")

COMMANDS = (
    Command(name="/help", takes="", summary="these lines", obey=_help),
    Command(name="/undo", takes="", summary="forget the last question and its answer", obey=_undo),
    Command(name="/edit", takes="[TEXT]", summary="change the last question, in $EDITOR or here", obey=_edit),
    Command(name="/retry", takes="", summary="ask the last question again", obey=_retry),
    Command(name="/history", takes="", summary="everything said so far", obey=_history),
    Command(name="/reset", takes="", summary="forget everything said", obey=_reset),
    Command(name="/system", takes="[TEXT]", summary="what the model is told before; - for nothing", obey=_system),
    Command(name="/save", takes="FILE", summary="write the conversation to a file", obey=_save),
    Command(name="/load", takes="FILE", summary="go on with a conversation that was saved", obey=_load),
    Command(
        name="/sampler",
        takes="[NAME]",
        summary="how tokens are chosen: greedy, precise, creative, model, or temperature=0.7,top_p=0.9",
        obey=_sampler,
    ),
    Command(
        name="/temperature", takes="0.7", summary="how freely to choose; 0: always the likeliest", obey=_temperature
    ),
    Command(name="/seed", takes="[7]", summary="what chance begins with; none: each answer anew", obey=_seed),
    Command(name="/settings", takes="", summary="every setting as it is now", obey=_settings),
    Command(
        name="/probabilities",
        takes="[on|off]",
        summary="how probable each token of the last answer was, and what else might have stood there",
        obey=_probabilities,
    ),
    Command(name="/tokens", takes="", summary="how long the conversation is", obey=_tokens),
    Command(name="/quit", takes="", summary="leave", obey=_quit),
)
"""All of them, in the order of the help."""
