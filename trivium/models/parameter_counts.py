"""Trainable parameters of the published sizes, as a record: to count them every network has to be built.

tests/models/test_table.py counts them anew, without storage, and says what to write here for a new size.
"""

PARAMETERS: dict[str, dict[str, int]] = {
    "lstm": {
        "lstm-small": 4_653_200,
        "lstm-medium": 19_780_400,
        "lstm-large": 66_034_000,
    },
    "cho": {
        "cho": 22_730_000,
    },
    "sutskever": {
        "sutskever": 384_224_000,
    },
    "text_cnn": {
        "kim": 6_360_902,
        "seqgan": 7_045_402,
    },
    "bilstm": {
        "huang": 1_850_308,
        "lample": 2_163_508,
    },
    "seq2seq": {
        "rnnsearch": 66_320_040,
    },
    "luong": {
        "luong": 171_114_000,
    },
    "transformer": {
        "transformer-base": 63_119_496,
        "transformer-big": 214_282_376,
    },
    "awd_lstm": {
        "awd-lstm-ptb": 24_221_600,
        "awd-lstm-wikitext2": 33_556_078,
    },
    "bert": {
        "bert-base": 109_514_298,
        "bert-large": 335_174_458,
    },
    "gpt2": {
        "gpt2": 124_439_808,
        "gpt2-medium": 354_823_168,
        "gpt2-large": 774_030_080,
        "gpt2-xl": 1_557_611_200,
    },
    "xlnet": {
        "xlnet-base": 116_750_336,
        "xlnet-large": 360_300_800,
    },
    "ernie": {
        "ernie-1.0-base": 99_885_648,
        "ernie-2.0-base": 109_515_834,
        "ernie-2.0-large": 335_176_506,
        "ernie-3.0-xbase": 296_095_808,
        "ernie-3.0-base": 117_986_368,
        "ernie-3.0-medium": 75_469_120,
        "ernie-3.0-mini": 26_990_272,
        "ernie-3.0-micro": 23_441_344,
        "ernie-3.0-nano": 17_952_856,
    },
    "roberta": {
        "roberta-base": 124_697_433,
        "roberta-large": 355_412_057,
        "xlm-roberta-base": 278_295_186,
        "xlm-roberta-large": 560_142_482,
    },
    "t5": {
        "t5-small": 60_506_624,
        "t5-base": 222_903_552,
        "t5-large": 737_668_096,
        "t5-3b": 2_851_598_336,
        "t5-11b": 11_307_321_344,
        "t5-v1.1-small": 76_961_152,
        "t5-v1.1-base": 247_577_856,
        "t5-v1.1-large": 783_150_080,
        "t5-v1.1-xl": 2_849_757_184,
        "t5-v1.1-xxl": 11_135_332_352,
        "mt5-small": 300_176_768,
        "mt5-base": 582_401_280,
        "mt5-large": 1_229_581_312,
        "mt5-xl": 3_742_619_648,
        "mt5-xxl": 12_921_057_280,
        "ul2": 19_591_209_984,
    },
    "bart": {
        "bart-base": 139_470_681,
        "bart-large": 406_341_721,
    },
    "electra": {
        "electra-small-discriminator": 13_549_057,
        "electra-small-generator": 4_620_026,
        "electra-base-discriminator": 109_483_009,
        "electra-base-generator": 33_740_602,
        "electra-large-discriminator": 335_142_913,
        "electra-large-generator": 51_295_290,
    },
    "glm": {
        "glm-base": 109_338_624,
        "glm-large": 334_688_256,
        "glm-410m": 410_265_600,
        "glm-515m": 514_632_960,
        "glm-2b": 1_920_122_880,
        "glm-10b": 9_880_682_496,
    },
    "llama": {
        "llama-7b": 6_738_415_616,
        "llama-13b": 13_015_864_320,
        "llama-33b": 32_528_943_616,
        "llama-65b": 65_285_660_672,
        "llama-2-70b": 68_976_648_192,
        "llama-3.1-8b": 8_030_261_248,
    },
    "modernbert": {
        "modernbert-base": 149_655_232,
        "modernbert-large": 395_881_664,
    },
}
"""By architecture, then by the name of the size."""
