"""Model files that the `sentencepiece` program trains here: the same ids, whatever the options."""

import io
import itertools

import pytest

from trivium import tokenizers
from trivium.errors import Unsupported
from trivium.tokenizers.pieces import pieces
from trivium.tokenizers.sentencepiece_proto import parse

sentencepiece = pytest.importorskip("sentencepiece")


def trained(tmp_path, texts: list[str], **options) -> tuple:
    """What SentencePiece learns from ``texts``: its own processor, and ours of the file."""
    file = io.BytesIO()
    settings = {"vocab_size": 900, "hard_vocab_limit": False, "minloglevel": 2, "num_threads": 1, **options}
    lines = iter([line for text in texts for line in text.split("\n")[:60]])
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=file, **settings)
    (tmp_path / "tokenizer.model").write_bytes(file.getvalue())
    program = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
    return program, tokenizers.load(tmp_path)


OPTIONS = [
    {"model_type": "unigram"},
    {"model_type": "unigram", "normalization_rule_name": "identity", "add_dummy_prefix": False, "pad_id": 3},
    {"model_type": "bpe"},
    {
        "model_type": "bpe",
        "byte_fallback": True,
        "vocab_size": 1200,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
    },
]


@pytest.mark.parametrize("options", OPTIONS)
def test_ids_and_text_equal_those_of_the_program(options: dict, tmp_path, training_texts, reference_texts) -> None:
    program, ours = trained(tmp_path, training_texts, **options)
    for label, text in itertools.islice(reference_texts.items(), 40):
        if label == "combining marks":  # `tokenizers` normalises whole grapheme clusters
            continue
        text = text.replace("\x00", "")
        ids = program.encode(text)
        assert ours.encode(text) == ids, label
        if ours.unk_id not in ids:
            assert ours.decode(ids) == program.decode(ids), label
    assert ours.vocabulary_size == program.get_piece_size()
    assert (ours.bos_id, ours.eos_id, ours.unk_id) == (program.bos_id(), program.eos_id(), program.unk_id())
    for text in ("a </s> b", "<s>", "x<unk>y"):
        assert ours.encode(text) == program.encode(text)


def test_the_reader_finds_what_the_program_finds(tmp_path, training_texts) -> None:
    program, _ = trained(tmp_path, training_texts, model_type="bpe", byte_fallback=True, vocab_size=1200)
    model = parse((tmp_path / "tokenizer.model").read_bytes())
    assert [p.text for p in model.pieces] == [program.id_to_piece(i) for i in range(program.get_piece_size())]
    assert [p.score for p in model.pieces] == [program.get_score(i) for i in range(program.get_piece_size())]
    assert (model.unk_id, model.bos_id, model.eos_id, model.pad_id) == (0, 1, 2, -1)
    assert model.byte_fallback and model.charsmap and model.add_dummy_prefix


def test_llama_opens_with_its_beginning(tmp_path, training_texts) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    _, ours = trained(tmp_path, training_texts, model_type="bpe", byte_fallback=True, vocab_size=1200)
    assert ours.prefix_ids == [1] and ours.suffix_ids == []
    found = pieces(ours, "the \U0001f642")
    assert [(piece.text, piece.start, piece.end) for piece in found[-2:]] == [("<0x99>", 6, 7), ("<0x82>", 7, 8)]
    assert (found[0].start, found[-1].end) == (0, 8)
    assert ours.token_bytes(ours.encode("漢\U0001f642")[-1]) == "\U0001f642".encode()[-1:]


def test_word_models_are_refused(tmp_path, training_texts) -> None:
    with pytest.raises(Unsupported, match="neither Unigram nor BPE"):
        trained(tmp_path, training_texts, model_type="word")
