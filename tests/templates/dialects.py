"""Chat templates in the dialects that are in use, each with a small vocabulary that has its tokens."""

import json

import tokenizers as backend
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from trivium.tokenizers import JsonTokenizer
from trivium.tokenizers.byte_bpe import WORD_PATTERN

LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' ~ m['role'] ~ '<|end_header_id|>\\n\\n' ~ m['content'] | trim ~ '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>' ~ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' ~ role ~ '\\n' ~ m.content | trim ~ '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '[INST] ' ~ m.content ~ ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' ~ m.content ~ eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
TEMPLATES = {"llama3": LLAMA3, "chatml": CHATML, "gemma": GEMMA, "mistral": MISTRAL}
END = {"llama3": "<|eot_id|>", "chatml": "<|im_end|>", "gemma": "<end_of_turn>", "mistral": "</s>"}
"""What ends an answer in each."""
_TOKENS = {
    "llama3": ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "chatml": ("<s>", "<|im_end|>", "<|im_start|>"),
    "gemma": ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    "mistral": ("<s>", "</s>", "[INST]", "[/INST]"),
}
TEXT = [
    "What is two and two? It is four, user. assistant, system model!\n\nBe brief.\n",
    "Below is an instruction. I cannot say; [ask] another <one> | or | two. 0123456789",
    "two\n\n",
    "four\n\n",
] * 4


def tokenizer_of(dialect: str, *, adds_bos: bool = True, pad_is_eos: bool = True) -> JsonTokenizer:
    """A vocabulary with the tokens of a dialect; ``adds_bos``: its post-processor adds BOS too, as published ones do.

    Mistral's is in the manner of SentencePiece (a prefixed, visible space), the others are of bytes.
    """
    bos, eos, *_ = special = list(_TOKENS[dialect])
    model = _sentencepiece() if dialect == "mistral" else _byte_level()
    model.add_special_tokens(special)
    if adds_bos:
        identifier = model.token_to_id(bos)
        model.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, identifier)])
    roles = {"bos_token": bos, "eos_token": eos, **({"pad_token": eos} if pad_is_eos else {})}
    return JsonTokenizer(model, roles).with_chat_template(TEMPLATES[dialect])


def _byte_level() -> backend.Tokenizer:
    made = backend.Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(TEXT, trainer)
    return made


def _sentencepiece() -> backend.Tokenizer:
    trained = backend.Tokenizer(models.BPE())
    spelt = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=spelt, show_progress=False)
    trained.train_from_iterator(["▁" + text.replace(" ", "▁") for text in TEXT], trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    # Made anew, for the pieces of bytes are no special tokens.
    made = backend.Tokenizer(models.BPE(model["vocab"], merges, byte_fallback=True, unk_token="<unk>"))
    made.add_special_tokens(["<unk>"])
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return made
