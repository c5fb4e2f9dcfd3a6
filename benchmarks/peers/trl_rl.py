"""PPO and GRPO of TRL, for `benchmarks/alignment.py`; TRL is installed apart (benchmarks/envs/alignment.txt)."""

import itertools
import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from peers.settings import Settings, measured, prompt_ids
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import GPT2Config as TheirConfig
from transformers import GPT2ForSequenceClassification, GPT2LMHeadModel, PreTrainedTokenizerFast, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer
from trl.experimental.ppo import PPOConfig, PPOTrainer


class Clock(TrainerCallback):
    """When each of their steps ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self, settings: Settings) -> list[float]:
        """Of the steps that count."""
        return [after - before for before, after in itertools.pairwise(self.ends[settings.warm_up - 1 :])]


def their_config(settings: Settings, **more: Any) -> TheirConfig:
    """The same shape; no token ends a text."""
    return TheirConfig(**settings.model.to_hf() | {"bos_token_id": None, "eos_token_id": None, **more})


def their_tokenizer(settings: Settings) -> PreTrainedTokenizerFast:
    """Words are numbers; what ends or pads a text is beyond the model's vocabulary, so that it is never sampled."""
    words = {str(number): number for number in range(settings.model.vocabulary_size)}
    words["<end>"] = len(words)
    tokenizer = Tokenizer(WordLevel(words, unk_token="<end>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", unk_token="<end>", padding_side="left"
    )


def their_trainer(settings: Settings, folder: str) -> dict[str, Any]:
    """What every trainer of theirs is told: nothing but to train, in fp32."""
    return {
        "output_dir": folder,
        "per_device_train_batch_size": settings.rows,
        "gradient_accumulation_steps": 1,
        "learning_rate": settings.learning_rate,
        "temperature": settings.temperature,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }


def ppo(settings: Settings) -> dict[str, float]:
    """The `PPOTrainer` of TRL: policy, reference, reward and value are networks of one shape."""
    torch.manual_seed(0)
    judged = their_config(settings, num_labels=1, pad_token_id=None)
    reward = GPT2ForSequenceClassification(judged)
    length = settings.prompt_tokens + settings.answer_tokens

    def check(_: Any, __: Any, given: dict[str, Any]) -> None:
        assert given["input_ids"].shape == (settings.rows, length) and given["attention_mask"].all(), "not as long"

    reward.transformer.register_forward_pre_hook(check, with_kwargs=True)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = PPOTrainer(
            args=PPOConfig(
                **their_trainer(settings, folder),
                num_ppo_epochs=settings.epochs,
                num_mini_batches=1,
                response_length=settings.answer_tokens,
                kl_coef=settings.kl_weight,
                total_episodes=settings.rows * (settings.warm_up + settings.steps),
                num_sample_generations=0,
            ),
            processing_class=their_tokenizer(settings),
            model=GPT2LMHeadModel(their_config(settings)),
            ref_model=None,  # a copy
            reward_model=reward,
            value_model=GPT2ForSequenceClassification(judged),
            train_dataset=Dataset.from_dict({"input_ids": prompt_ids(settings).tolist()}),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return measured(settings, clock.seconds(settings))


def grpo(settings: Settings) -> dict[str, float]:
    """The `GRPOTrainer` of TRL."""

    def reward(*, completion_ids: list[list[int]], **_: Any) -> list[float]:
        assert {len(ids) for ids in completion_ids} == {settings.answer_tokens}, "not as long"
        return [len(set(ids)) / len(ids) for ids in completion_ids]

    torch.manual_seed(0)
    clock = Clock()
    prompts = [" ".join(map(str, ids)) for ids in prompt_ids(settings).tolist()]
    with tempfile.TemporaryDirectory() as folder:
        # It reads the reference anew from where the policy came from, so that has to be a folder.
        GPT2LMHeadModel(their_config(settings)).save_pretrained(folder)
        trainer = GRPOTrainer(
            model=folder,
            reward_funcs=reward,
            args=GRPOConfig(
                **their_trainer(settings, folder),
                num_generations=settings.answers,
                max_completion_length=settings.answer_tokens,
                num_iterations=settings.epochs,
                beta=settings.kl_weight,
                max_steps=settings.warm_up + settings.steps,
            ),
            processing_class=their_tokenizer(settings),
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return measured(settings, clock.seconds(settings))
