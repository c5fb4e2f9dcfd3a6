"""Every decoder that ``transformers`` has and we have, one file each; `test_decoders.py` holds ours against theirs."""

from tests.parity.decoder_families import gpt2, llama

FAMILIES = (gpt2.FAMILY, llama.FAMILY)
