"""OpenAI's chat completions, which Gemini, Cohere, vLLM, Ollama and llama.cpp speak as well
(https://platform.openai.com/docs/api-reference/chat)."""

from typing import Any

from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.failure import field
from trivium.lm.hosted.images import Image
from trivium.lm.hosted.openai_replies import ended, read_choices, read_piece, streamed
from trivium.lm.hosted.providers import Provider
from trivium.lm.hosted.wire import Counted, Piece, Turns, Wire, Written, asked


def _body(model: str, turns: Turns, settings: GenerationSettings, provider: Provider, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": role, "content": _content(parts)} for role, parts in turns],
        provider.longest: settings.max_new_tokens,
        **asked(settings, provider),
    }
    if provider.logprobs and not stream:
        body["logprobs"] = True
    return streamed(body) if stream else body


def _content(parts: Any) -> Any:
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)  # some servers read no lists
    return [
        {"type": "image_url", "image_url": {"url": part.data_uri}}
        if isinstance(part, Image)
        else {"type": "text", "text": part}
        for part in parts
    ]


def _read(reply: Any) -> tuple[list[Written], Counted]:
    return read_choices(reply, _choice)


def _choice(choice: Any) -> Written:
    why = ended(choice)
    # An answer that was refused, or cut off while the model still thought, may have no text.
    refusal = field(choice, "message", "refusal", kind=str, optional=True)
    text = field(choice, "message", "content", kind=str, optional=refusal is not None or why != "stop")
    told = field(choice, "logprobs", "content", kind=list, optional=True) or []
    return Written(
        text=text if text is not None else refusal or "",
        finish_reason="failed" if text is None and refusal is not None else why,
        logprobs=tuple(float(field(token, "logprob", kind=(int, float))) for token in told),
    )


def _piece(event: Any) -> Piece:
    return read_piece(event, _added)


def _added(choice: Any) -> str:
    text = field(choice, "delta", "content", kind=str, optional=True)
    return text or field(choice, "delta", "refusal", kind=str, optional=True) or ""


CHAT = Wire(path="chat/completions", body=_body, read=_read, piece=_piece)
