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
    "leakgan": {
        "leakgan-20": 3_117_240,
        "leakgan-40": 6_203_736,
    },
    "awd_lstm": {
        "awd-lstm-ptb": 24_221_600,
        "awd-lstm-wikitext2": 33_556_078,
    },
    "relational_memory": {
        "relgan": 5_108_360,
    },
    "gpt": {
        "gpt": 116_534_784,
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
    "gpt3": {
        "gpt3-small": 125_226_240,
        "gpt3-medium": 355_871_744,
        "gpt3-large": 760_300_032,
        "gpt3-xl": 1_315_723_264,
        "gpt3-2.7b": 2_651_553_280,
        "gpt3-6.7b": 6_658_404_352,
        "gpt3-13b": 12_936_488_380,
        "gpt3-175b": 174_604_259_328,
    },
    "gpt_neo": {
        "gpt-neo-125m": 125_198_592,
        "gpt-neo-1.3b": 1_315_575_808,
        "gpt-neo-2.7b": 2_651_307_520,
    },
    "gptj": {
        "gpt-j-6b": 6_050_882_784,
    },
    "glm": {
        "glm-base": 109_338_624,
        "glm-large": 334_688_256,
        "glm-410m": 410_265_600,
        "glm-515m": 514_632_960,
        "glm-2b": 1_920_122_880,
        "glm-10b": 9_880_682_496,
    },
    "ernie3": {
        "ernie-3.0-10b": 10_761_789_184,
    },
    "jurassic1": {
        "j1-large": 7_501_127_680,
        "j1-jumbo": 177_866_855_424,
    },
    "gopher": {
        "gopher-44m": 43_700_736,
        "gopher-117m": 116_709_120,
        "gopher-417m": 417_443_328,
        "gopher-1.4b": 1_374_799_872,
        "gopher-7.1b": 7_112_101_888,
        "gopher-280b": 279_714_217_984,
        "chinchilla-70b": 70_063_890_432,
    },
    "lamda": {
        "lamda-2b": 2_179_127_040,
        "lamda-8b": 8_721_143_808,
        "lamda-137b": 137_702_158_336,
    },
    "megatron_turing": {
        "mt-nlg-530b": 529_581_506_560,
    },
    "palm": {
        "palm-8b": 8_632_012_800,
        "palm-62b": 62_495_662_080,
        "palm-540b": 540_356_474_880,
    },
    "gpt_neox": {
        "pythia-70m": 70_426_624,
        "pythia-160m": 162_322_944,
        "pythia-410m": 405_334_016,
        "pythia-1b": 1_011_781_632,
        "pythia-1.4b": 1_414_647_808,
        "pythia-2.8b": 2_775_208_960,
        "pythia-6.9b": 6_857_302_016,
        "pythia-12b": 11_846_072_320,
        "gpt-neox-20b": 20_554_567_680,
    },
    "opt": {
        "opt-125m": 125_239_296,
        "opt-350m": 331_196_416,
        "opt-1.3b": 1_315_758_080,
        "opt-2.7b": 2_651_596_800,
        "opt-6.7b": 6_658_473_984,
        "opt-13b": 12_853_473_280,
        "opt-30b": 29_974_540_288,
        "opt-66b": 65_719_701_504,
        "opt-175b": 174_604_468_224,
    },
    "bloom": {
        "bloom-560m": 559_214_592,
        "bloom-1b1": 1_065_314_304,
        "bloom-1b7": 1_722_408_960,
        "bloom-3b": 3_002_557_440,
        "bloom-7b1": 7_069_016_064,
        "bloom": 176_247_271_424,
    },
    "llama": {
        "llama-7b": 6_738_415_616,
        "llama-13b": 13_015_864_320,
        "llama-33b": 32_528_943_616,
        "llama-65b": 65_285_660_672,
        "llama-2-70b": 68_976_648_192,
        "llama-3.1-8b": 8_030_261_248,
    },
    "falcon": {
        "falcon-rw-1b": 1_311_625_216,
        "falcon-7b": 6_921_720_704,
        "falcon-40b": 41_303_293_952,
        "falcon-180b": 178_557_088_768,
    },
    "mistral": {
        "mistral-7b-v0.1": 7_241_732_096,
        "mistral-7b-v0.3": 7_248_023_552,
    },
    "grok1": {
        "grok-1": 315_684_820_992,
    },
    "mixtral": {
        "mixtral-8x7b": 46_702_792_704,
        "mixtral-8x22b": 140_620_634_112,
    },
    "qwen3_moe": {
        "qwen3-30b-a3b": 30_532_122_624,
        "qwen3-235b-a22b": 235_093_634_560,
    },
    "gpt_oss": {
        "gpt-oss-20b": 20_914_757_184,
        "gpt-oss-120b": 116_829_156_672,
    },
    "gemma": {
        "gemma-2b": 2_506_172_416,
        "gemma-7b": 8_537_680_896,
    },
    "gemma2": {
        "gemma-2-2b": 2_614_341_888,
        "gemma-2-9b": 9_241_705_984,
        "gemma-2-27b": 27_227_128_320,
    },
    "modernbert": {
        "modernbert-base": 149_655_232,
        "modernbert-large": 395_881_664,
    },
    "phi3": {
        "phi-3-mini-4k": 3_821_079_552,
        "phi-3-medium-4k": 13_960_238_080,
    },
    "cohere": {
        "command-r": 34_980_831_232,
        "command-r-plus": 103_810_674_688,
    },
    "qwen2": {
        "qwen2-0.5b": 494_032_768,
        "qwen2-1.5b": 1_543_714_304,
        "qwen2-7b": 7_615_616_512,
        "qwen2-72b": 72_706_203_648,
        "qwen2.5-3b": 3_085_938_688,
        "qwen2.5-14b": 14_770_033_664,
        "qwen2.5-32b": 32_763_876_352,
    },
    "cohere2": {
        "command-r7b": 8_028_033_024,
    },
    "olmo2": {
        "olmo-2-1b": 1_484_916_736,
        "olmo-2-7b": 7_298_617_344,
        "olmo-2-13b": 13_716_198_400,
        "olmo-2-32b": 32_234_279_936,
    },
    "deepseek_v3": {
        "deepseek-v3": 671_026_404_352,
    },
    "gemma3": {
        "gemma-3-270m": 268_098_176,
        "gemma-3-1b": 999_885_952,
        "gemma-3-4b": 3_880_263_168,
        "gemma-3-12b": 11_766_034_176,
        "gemma-3-27b": 27_009_346_304,
    },
    "qwen3": {
        "qwen3-0.6b": 596_049_920,
        "qwen3-1.7b": 1_720_574_976,
        "qwen3-4b": 4_022_468_096,
        "qwen3-8b": 8_190_735_360,
        "qwen3-14b": 14_768_307_200,
        "qwen3-32b": 32_762_123_264,
    },
}
"""By architecture, then by the name of the size."""
