"""The one table of what `trivium` does. It imports nothing, so that `trivium --help` is instant."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verb:
    """One thing that `trivium` does."""

    name: str
    summary: str
    """One line for `trivium --help`."""
    module: str
    """What runs it: a module with `run(verb, arguments, options) -> None`, imported only then."""
    settings: tuple[str, ...]
    """Where its settings are, as "package.module:Class", the usual ones first."""
    example: str
    """A command line that works."""
    recipe: str | None = None
    """What carries it out, as "package.module:function"; None for that of its name in `trivium.recipes`."""
    needs: str | None = None
    """What tells for --dry-run what the work will need, as "package.module:function"; of a recipe."""
    then: str | None = None
    """What to try with the run that came of it."""
    leading: str | None = None
    """The setting that arguments before the first flag belong to; "recipe" is a YAML file of settings."""
    second: str | None = None
    """The setting that a second such argument is most likely meant for, where there may be one only."""
    folder: str | None = None
    """Where a recipe leads: the setting that a folder in its place belongs to."""
    tasks: tuple["Verb", ...] = ()
    """What it does one of, each with settings of its own: the word after `train` names one, "train tagging"."""
    beside: tuple["Verb", ...] = ()
    """What it does beside what it usually does, with settings of its own, where the word after it says so."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What every verb understands, beside its own settings."""

    json: bool = False
    """Print the result as JSON on standard output, for programs."""
    dry_run: bool = False
    """Say what would be done, with which settings, and stop."""
    debug: bool = False
    """Show the traceback of an error."""


# Each is a recipe of its own, called by the last word of its name.
_TASKS = (
    Verb(
        name="train translation",
        summary="a text for a text, from two files line by line",
        module="trivium.cli.train",
        settings=("trivium.recipes.translation:TranslationConfig",),
        needs="trivium.cli.dry_run.tasks:translating",
        example="trivium train translation --source train.de --target train.en",
        then="trivium predict {run} --input test.de",
        leading="recipe",
    ),
    Verb(
        name="train classification",
        summary="a label for a text, from a table or a folder for each label",
        module="trivium.cli.train",
        settings=("trivium.recipes.classification:ClassificationConfig",),
        needs="trivium.cli.dry_run.tasks:classifying",
        example="trivium train classification --data reviews.csv",
        then="trivium predict {run} --input texts.txt",
        leading="recipe",
    ),
    Verb(
        name="train tagging",
        summary="a tag for each word, such as names of people and places, from CoNLL files",
        module="trivium.cli.train",
        settings=("trivium.recipes.tagging:TaggingConfig",),
        needs="trivium.cli.dry_run.tasks:tagging",
        example="trivium train tagging --data train.conll",
        then="trivium predict {run} --input texts.txt",
        leading="recipe",
    ),
    Verb(
        name="train question_answering",
        summary="the answer to a question in a text, from files in the form of SQuAD",
        module="trivium.cli.train",
        settings=("trivium.recipes.question_answering:QuestionAnsweringConfig",),
        needs="trivium.cli.dry_run.tasks:answering",
        example="trivium train question_answering --data train.json --base runs/pretrain",
        then="trivium predict {run} --input questions.jsonl",
        leading="recipe",
    ),
    Verb(
        name="train text_to_text",
        summary="a summary or any text for a text, by an encoder-decoder, from records of both",
        module="trivium.cli.train",
        settings=("trivium.recipes.text_to_text:TextToTextConfig",),
        needs="trivium.cli.dry_run.tasks:writing",
        example="trivium train text_to_text --data train.jsonl --task summarisation --base runs/pretrain",
        then="trivium predict {run} --input texts.txt",
        leading="recipe",
    ),
    Verb(
        name="train embedding",
        summary="vectors that are near where texts mean the same, from texts or pairs",
        module="trivium.cli.train",
        settings=("trivium.recipes.embedding:EmbeddingConfig",),
        needs="trivium.cli.dry_run.tasks:embedding",
        example="trivium train embedding --data sentences.txt --base runs/pretrain",
        then="trivium predict {run} --input texts.txt --json",
        leading="recipe",
    ),
)

_ALIGNING = (
    Verb(
        name="align label",
        summary="rank answers in the terminal, by criteria of your own; agreement of several raters",
        module="trivium.cli.align_label",
        settings=("trivium.recipes.align.label:LabelConfig",),
        example='trivium align label answers.jsonl --criteria "helpful: does it answer?" --rater ann --output judged',
        leading="data",
    ),
    Verb(
        name="align reward",
        summary="a model that scores answers as people ranked, scored or labelled them",
        module="trivium.cli.train",
        settings=("trivium.recipes.align.reward_config:RewardConfig",),
        recipe="trivium.recipes.align.reward:reward",
        needs="trivium.cli.dry_run.rewarding:rewarding",
        example="trivium align reward --model runs/finetune --data pairs.jsonl --method lora",
        then="trivium align ppo --model runs/finetune --data prompts.jsonl --reward {run}",
        leading="recipe",
    ),
    Verb(
        name="align dpo",
        summary="learn from ranked answers directly: DPO, IPO, KTO, ORPO, SimPO",
        module="trivium.cli.train",
        settings=("trivium.recipes.align.dpo_config:DPOConfig",),
        recipe="trivium.recipes.align.dpo:dpo",
        needs="trivium.cli.dry_run.aligning:directing",
        example="trivium align dpo --model runs/finetune --data pairs.jsonl --method lora",
        then="trivium chat {run}",
        leading="recipe",
    ),
    *(
        Verb(
            name=f"align {method}",
            summary=summary,
            module="trivium.cli.train",
            settings=(f"trivium.recipes.align.policy_config:{config}RecipeConfig",),
            recipe="trivium.recipes.align.policy:policy",
            needs="trivium.cli.dry_run.policies:learning",
            example=f"trivium align {method} --model runs/finetune --data prompts.jsonl --reward {reward}",
            then="trivium chat {run}",
            leading="recipe",
        )
        for method, config, summary, reward in (
            ("ppo", "PPO", "learn from rewards for answers of its own, with a critic", "runs/reward"),
            ("grpo", "GRPO", "the same, each answer compared with others to its prompt", "number"),
            ("rloo", "RLOO", "the same, compared with the mean of the others", "number"),
            ("reinforce", "Reinforce", "the same, compared with the mean of all answers", "runs/reward"),
        )
    ),
    Verb(
        name="align constitution",
        summary="answers criticised, revised and compared by written principles (Constitutional AI)",
        module="trivium.cli.train",
        settings=("trivium.recipes.align.constitution.constitution_config:ConstitutionConfig",),
        recipe="trivium.recipes.align.constitution.recipe:constitution",
        needs="trivium.cli.dry_run.constitutions:planning",
        example="trivium align constitution --model runs/finetune --prompts red_team.jsonl",
        then="trivium chat {run}",
        leading="recipe",
    ),
)

_GAN = Verb(
    name="pretrain gan",
    summary="a generator of short texts against a discriminator that tells them from real ones",
    module="trivium.cli.recipe",
    settings=("trivium.recipes.gan_config:GANConfig",),
    recipe="trivium.recipes.gan:gan",
    needs="trivium.cli.dry_run.games:playing",
    example="trivium pretrain gan --method relgan --data captions.txt",
    then='trivium generate {run} --prompt "" --max-new-tokens 20',
    leading="recipe",
)

_PLANS = (
    Verb(
        name="plan finetune",
        summary="a finished model trained further, by one method or by several side by side",
        module="trivium.cli.plan",
        settings=("trivium.cli.plan:PlanFinetuneConfig",),
        example="trivium plan finetune --model llama-7b --method qlora --context 2048 --rows 4",
    ),
    Verb(
        name="plan pretrain",
        summary="all of a model trained",
        module="trivium.cli.plan",
        settings=("trivium.cli.plan:PlanPretrainConfig",),
        example="trivium plan pretrain --model gpt2 --context 1024 --rows 4",
    ),
    Verb(
        name="plan generate",
        summary="texts continued: the weights, and what is remembered of the texts",
        module="trivium.cli.plan",
        settings=("trivium.cli.plan:PlanGenerateConfig",),
        example="trivium plan generate --model mistral-7b --dtype bfloat16 --rows 8",
    ),
)

VERBS = (
    Verb(
        name="quickstart",
        summary="make a language model from the text on this machine, in minutes",
        module="trivium.cli.recipe",
        settings=("trivium.recipes.quickstart:QuickstartConfig",),
        needs="trivium.cli.dry_run.training:quickstart",
        example="trivium quickstart --minutes 5",
    ),
    Verb(
        name="prepare",
        summary="make token shards from text, or examples from a task; look at them; forget",
        module="trivium.cli.prepare",
        settings=(
            "trivium.recipes.prepare:PrepareConfig",
            "trivium.cli.prepare:InspectConfig",
            "trivium.cli.prepare:ForgetConfig",
            "trivium.recipes.instructions:InstructionsConfig",
        ),
        needs="trivium.cli.dry_run.preparing:preparing",
        example="trivium prepare notes/ --output prepared",
        leading="sources",
    ),
    Verb(
        name="tokenize",
        summary="see how a tokenizer cuts text, and how well it fits a language",
        module="trivium.cli.tokenize",
        settings=("trivium.cli.tokenize:TokenizeConfig",),
        example='trivium tokenize runs/quickstart --text "Return the length of a list."',
        leading="tokenizer",
        second="text",
    ),
    Verb(
        name="filters",
        summary="train what judges text: a language model of n-grams, a classifier of harm",
        module="trivium.cli.filters",
        settings=("trivium.recipes.filters:FiltersConfig",),
        example="trivium filters notes/ --output trusted",
        leading="sources",
    ),
    Verb(
        name="plan",
        summary="say how much memory and time a work will need, before it is begun",
        module="trivium.cli.plan",
        settings=tuple(settings for task in _PLANS for settings in task.settings),
        example=_PLANS[0].example,
        tasks=_PLANS,
    ),
    Verb(
        name="pretrain",
        summary="train a model from nothing on prepared text",
        module="trivium.cli.recipe",
        settings=("trivium.recipes.pretrain:PretrainConfig",),
        needs="trivium.cli.dry_run.training:pretraining",
        example="trivium pretrain --data prepared --steps 1000",
        then='trivium generate {run} --prompt "Once"',
        leading="recipe",
        beside=(_GAN,),
    ),
    Verb(
        name="extend",
        summary="give a model more pieces for a language or a field that it cuts too fine",
        module="trivium.cli.extend",
        settings=("trivium.recipes.extend:ExtendConfig",),
        example="trivium extend runs/pretrain --text finnish.txt --pieces 2000",
        leading="model",
        second="text",
    ),
    Verb(
        name="finetune",
        summary="train a finished model further on examples",
        module="trivium.cli.recipe",
        settings=("trivium.recipes.finetune:FinetuneConfig",),
        needs="trivium.cli.dry_run.training:finetuning",
        example="trivium finetune runs/pretrain --data examples.jsonl --method lora",
        then="trivium chat {run}",
        leading="recipe",
        folder="model",
    ),
    Verb(
        name="merge",
        summary="make adapters part of their model; make several adapters or models one",
        module="trivium.cli.merge",
        settings=("trivium.recipes.merge:MergeConfig",),
        example="trivium merge runs/finetune --output merged",
        leading="adapters",
    ),
    Verb(
        name="train",
        summary="train a model for a task on examples: labels, tags, answers, texts, vectors",
        module="trivium.cli.train",
        settings=tuple(settings for task in _TASKS for settings in task.settings),
        example=_TASKS[0].example,
        leading="recipe",
        tasks=_TASKS,
    ),
    Verb(
        name="align",
        summary="make a model answer as people want: rankings, rewards, PPO, DPO, a constitution",
        module="trivium.cli.train",
        settings=tuple(settings for task in _ALIGNING for settings in task.settings),
        example=_ALIGNING[1].example,
        leading="recipe",
        tasks=_ALIGNING,
    ),
    Verb(
        name="predict",
        summary="label, tag, answer, translate, embed: what a model was trained for",
        module="trivium.cli.predict",
        settings=("trivium.recipes.predict:PredictConfig",),
        example="trivium predict runs/classification --input texts.txt --json",
        leading="model",
        second="input",
    ),
    Verb(
        name="evaluate",
        summary="measure a model on text it has not seen, or on what it is for",
        module="trivium.cli.recipe",
        settings=("trivium.recipes.evaluate:EvaluateConfig",),
        needs="trivium.cli.dry_run.using:evaluating",
        example="trivium evaluate runs/quickstart --data held_out.txt --json",
        leading="model",
        second="data",
    ),
    Verb(
        name="understand",
        summary="look into a model layer by layer: probes, the senses of a word, attention",
        module="trivium.cli.understand",
        settings=("trivium.recipes.understanding:UnderstandConfig",),
        example="trivium understand runs/pretrain --texts reviews.csv --sentences entities.conll",
        leading="model",
        second="texts",
    ),
    Verb(
        name="generate",
        summary="continue a prompt",
        module="trivium.cli.generate",
        settings=("trivium.cli.generate:GenerateConfig",),
        example='trivium generate runs/quickstart --prompt "Return the" --max-new-tokens 40',
        leading="model",
        second="prompt",
    ),
    Verb(
        name="chat",
        summary="talk with a model",
        module="trivium.cli.chat",
        settings=("trivium.cli.chat:ChatConfig",),
        example="trivium chat runs/quickstart",
        leading="model",
    ),
    Verb(
        name="models",
        summary="list the architectures, in the order of history; or what a model was made from",
        module="trivium.cli.models",
        settings=("trivium.cli.models:ModelsConfig",),
        example="trivium models --json",
    ),
    Verb(
        name="doctor",
        summary="say what this machine can do, and what follows from it",
        module="trivium.cli.doctor",
        settings=("trivium.cli.doctor:DoctorConfig",),
        example="trivium doctor",
    ),
)
