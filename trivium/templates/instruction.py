"""Instructions as text: how a task with its input is put to a model.

The plain form is that of Alpaca (Taori et al. 2023, "Stanford Alpaca: An Instruction-following LLaMA model", training
prompts of the repository), which most instruction data sets are written for.
"""

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)


def plain_instruction(instruction: str, given: str = "") -> str:
    """The prompt of a model without a chat form; it ends where the response is to begin."""
    if given:
        return f"{_WITH_INPUT}### Instruction:\n{instruction}\n\n### Input:\n{given}\n\n### Response:\n"
    return f"{_WITHOUT_INPUT}### Instruction:\n{instruction}\n\n### Response:\n"


def chat_instruction(instruction: str, given: str = "") -> str:
    """What a user says who asks for it in a chat."""
    return f"{instruction}\n\n{given}" if given else instruction
