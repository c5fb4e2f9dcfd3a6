"""What a vocabulary that is trained here puts around a text that is read whole."""

from tokenizers import Tokenizer, processors

from trivium.tokenizers.special import SpecialTokens


def put_around(backend: Tokenizer, special: SpecialTokens) -> None:
    """[CLS] A [SEP], and [CLS] A [SEP] B [SEP] for two texts (Devlin et al. 2018, figure 2), where both tokens exist.

    Written into the file as its post-processor, so that `transformers` does the same.
    """
    if special.cls is None or special.sep is None:
        return
    cls, sep = special.cls, special.sep
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(token, backend.token_to_id(token)) for token in (cls, sep)],
    )
