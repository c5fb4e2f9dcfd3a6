"""Reading generation_config.json as transformers 4 and 5 write it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.generation.generation_config import token_ids
from trivium.generation.resolve import resolve
from trivium.generation.settings import Constraints, GenerationSettings

# A file with every setting that transformers 4 knew written out at the value that does nothing; of num_return_sequences
# nothing is taken whatever it says.
DEFAULTS_OF_4: dict[str, Any] = {
    "assistant_confidence_threshold": 0.4,
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "cache_implementation": None,
    "constraints": None,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "dola_layers": None,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "exponential_decay_length_penalty": None,
    "force_words_ids": None,
    "forced_bos_token_id": None,
    "forced_decoder_ids": None,
    "forced_eos_token_id": None,
    "guidance_scale": None,
    "length_penalty": 1.0,
    "max_length": 20,
    "max_time": None,
    "min_length": 0,
    "min_new_tokens": None,
    "min_p": None,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 3,
    "penalty_alpha": None,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "repetition_penalty": 1.0,
    "sequence_bias": None,
    "stop_strings": None,
    "suppress_tokens": None,
    "temperature": 1.0,
    "token_healing": False,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "watermarking_config": None,
}


def constraints_of(file: dict[str, Any], **arguments: Any) -> Constraints:
    return resolve(file, **{"max_new_tokens": 50, **arguments}).constraints


def test_a_file_that_says_nothing_changes_nothing() -> None:
    assert resolve(DEFAULTS_OF_4, max_new_tokens=4) == GenerationSettings(max_new_tokens=4)
    sampled = resolve(DEFAULTS_OF_4 | {"do_sample": True}, max_new_tokens=4)
    assert sampled == GenerationSettings(max_new_tokens=4, temperature=1.0, top_k=50, top_p=1.0, typical_p=1.0)


def test_what_transformers_writes_is_read_back(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.GenerationConfig(
        do_sample=True, temperature=0.6, top_k=20, top_p=0.95, min_p=0.05, repetition_penalty=1.1, eos_token_id=[2, 3]
    ).save_pretrained(tmp_path)
    file = json.loads((tmp_path / "generation_config.json").read_text())
    expected = GenerationSettings(
        max_new_tokens=7, temperature=0.6, top_k=20, top_p=0.95, min_p=0.05, repetition_penalty=1.1
    )
    assert resolve(file, max_new_tokens=7) == expected


def test_constraints_by_the_names_of_the_file() -> None:
    file = {
        "bad_words_ids": [[5], [1, 2], [9]],
        "suppress_tokens": [7, 8],
        "begin_suppress_tokens": [6],
        "no_repeat_ngram_size": 3,
        "min_new_tokens": 10,
        "forced_eos_token_id": 9,
    }
    expected = Constraints(
        # 9 ends the answer: transformers takes it off the bad words too.
        banned=((5,), (1, 2), (7,), (8,)),
        banned_first=(6,),
        no_repeat_ngram=3,
        min_new_tokens=10,
        forced_last=(9,),
    )
    assert constraints_of(file, eos_ids=(9,)) == expected
    assert constraints_of({"forced_eos_token_id": [3, 4]}).forced_last == (3, 4)
    assert constraints_of(file, eos_ids=(9,), max_new_tokens=4).min_new_tokens == 4, "a file yields to a shorter answer"


def test_what_counts_from_the_beginning_is_read_for_an_encoder_decoder_only() -> None:
    bart = {"min_length": 56, "forced_bos_token_id": 0, "num_beams": 4, "early_stopping": True}
    expected = Constraints(min_new_tokens=55, forced=(0,))
    assert constraints_of(bart, max_new_tokens=142, encoder_decoder=True) == expected
    assert constraints_of({"min_length": 56, "min_new_tokens": 3}, encoder_decoder=True).min_new_tokens == 3
    assert constraints_of({"min_length": 56, "min_new_tokens": 3}) == Constraints(min_new_tokens=3)
    assert constraints_of({"min_length": 1}) == Constraints(), "a prompt has a token"
    for name in ("min_length", "forced_bos_token_id"):
        with pytest.raises(Unsupported, match=f"{name} counts from the beginning of the prompt"):
            constraints_of({name: 2})
        assert constraints_of({name: 2}, constraints=Constraints()) == Constraints()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder_no_repeat_ngram_size", 3),
        ("encoder_repetition_penalty", 1.2),
        ("exponential_decay_length_penalty", [5, 1.1]),
        ("force_words_ids", [[[1, 2]]]),
        ("guidance_scale", 1.5),
        ("max_time", 2.0),
        ("sequence_bias", [[[1], 2.0]]),
        ("token_healing", True),
        ("watermarking_config", {"greenlist_ratio": 0.2}),
        ("dola_layers", "high"),
    ],
)
def test_what_changes_answers_and_is_not_here_is_refused(name: str, value: object) -> None:
    with pytest.raises(Unsupported, match=f"{name} is not supported by this release") as told:
        resolve({name: value}, max_new_tokens=1)
    assert told.value.received and told.value.expected and told.value.fix


@pytest.mark.parametrize(("name", "value"), [("epsilon_cutoff", 3e-4), ("eta_cutoff", 3e-4), ("top_h", 0.4)])
def test_a_cut_off_that_is_not_here_is_refused_where_it_would_cut(name: str, value: object) -> None:
    resolve({name: value}, max_new_tokens=1)
    resolve({name: value, "do_sample": True}, max_new_tokens=1, temperature=0.0)
    with pytest.raises(Unsupported, match=f"{name} is not supported"):
        resolve({name: value, "do_sample": True}, max_new_tokens=1)


def test_renormalised_scores_mean_something_in_a_beam_search_only() -> None:
    assert resolve({"renormalize_logits": True}, max_new_tokens=1, beams=2).search.renormalise
    assert not resolve({"renormalize_logits": True}, max_new_tokens=1, temperature=1.0).search.renormalise


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("do_sample", "yes"),
        ("temperature", "hot"),
        ("top_k", 2.5),
        ("top_k", True),
        ("top_p", "all"),
        ("repetition_penalty", [1.2]),
        ("num_beams", 2.0),
        ("early_stopping", "always"),
        ("stop_strings", [3]),
        ("stop_strings", 3),
        ("min_new_tokens", "1"),
        ("bad_words_ids", [5]),
        ("bad_words_ids", [["word"]]),
        ("suppress_tokens", "5"),
        ("forced_eos_token_id", 1.0),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"holds a {name} that cannot be used") as told:
        resolve({"do_sample": True, name: value}, max_new_tokens=1)
    assert told.value.received == repr(value) and told.value.fix


def test_a_value_out_of_range_is_refused_as_an_argument_would_be() -> None:
    with pytest.raises(ConfigError, match="the temperature cannot be used"):
        resolve({"do_sample": True, "temperature": math.nan}, max_new_tokens=1)
    with pytest.raises(ConfigError, match="forced_last holds an id"):
        resolve({"forced_eos_token_id": -1}, max_new_tokens=1)


def test_end_tokens_as_files_write_them() -> None:
    assert (token_ids(None), token_ids(0), token_ids([3, 4])) == ((), (0,), (3, 4))
