"""Six tasks of GLUE (Wang et al. 2018): acceptability, sentiment, paraphrase and inference, as choices between words.

The columns are those of GLUE's own tables and of their copies in other formats.
"""

from collections.abc import Mapping

from trivium.evaluation.tasks.task import Task, label

_LABEL = {"label": ("label",)}
_PAIR: Mapping[str, tuple[str, ...]] = {"sentence1": ("sentence1",), "sentence2": ("sentence2",), **_LABEL}
_INFERENCE = "{sentence1}\nQuestion: {sentence2} True or False?\nAnswer:"
_ENTAILMENT = label("label", "entailment", "not_entailment")

COLA = Task(
    name="cola",
    summary="CoLA: is this sentence acceptable English? (Warstadt et al. 2019)",
    method="choose",
    prompt="{sentence}\nQuestion: Does this sentence make sense?\nAnswer:",
    choices=("no", "yes"),
    target=label("label", "unacceptable", "acceptable"),
    columns={"sentence": ("sentence",), **_LABEL},
    header=("source", "label", "mark", "sentence"),
    metrics=("mcc", "acc"),
)
SST2 = Task(
    name="sst2",
    summary="SST-2: is this sentence of a film review positive? (Socher et al. 2013)",
    method="choose",
    prompt="{sentence}\nQuestion: Is this sentence positive or negative?\nAnswer:",
    choices=("negative", "positive"),
    target=label("label", "negative", "positive"),
    columns={"sentence": ("sentence",), **_LABEL},
    metrics=("acc", "acc_norm", "acc_bytes"),
)
MRPC = Task(
    name="mrpc",
    summary="MRPC: do two sentences of the news say the same? (Dolan & Brockett 2005)",
    method="choose",
    prompt="Sentence 1: {sentence1}\nSentence 2: {sentence2}\n"
    "Question: Do both sentences mean the same thing?\nAnswer:",
    choices=("no", "yes"),
    target=label("label", "not_equivalent", "equivalent"),
    columns={
        "sentence1": ("sentence1", "#1 String"),
        "sentence2": ("sentence2", "#2 String"),
        "label": ("label", "Quality"),
    },
    metrics=("acc", "f1"),
)
RTE = Task(
    name="rte",
    summary="RTE: does the first text entail the second? (Dagan et al. 2006 and later)",
    method="choose",
    prompt=_INFERENCE,
    choices=("True", "False"),
    target=_ENTAILMENT,
    columns=_PAIR,
    metrics=("acc", "acc_norm", "acc_bytes"),
)
QNLI = Task(
    name="qnli",
    summary="QNLI: does the sentence answer the question? (Wang et al. 2018, from SQuAD)",
    method="choose",
    prompt="{question}\n{sentence}\nQuestion: Does this response answer the question?\nAnswer:",
    choices=("yes", "no"),
    target=_ENTAILMENT,
    columns={"question": ("question",), "sentence": ("sentence",), **_LABEL},
    metrics=("acc", "acc_norm", "acc_bytes"),
)
WNLI = Task(
    name="wnli",
    summary="WNLI: whom does the pronoun mean? (Levesque et al. 2012)",
    method="choose",
    prompt=_INFERENCE,
    choices=("False", "True"),
    target=label("label", "not_entailment", "entailment"),
    columns=_PAIR,
    metrics=("acc", "acc_norm", "acc_bytes"),
)
