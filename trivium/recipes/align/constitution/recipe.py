"""Constitutional AI from the first answer to the last report; see the package for what it is.

    run = constitution(ConstitutionConfig(model=Path("runs/helpful"), prompts=Path("red_team.jsonl")))
    model = trivium.load(run.folder)

The folder of the run holds, beside what every run has, a file of each stage: `answers.jsonl`, `revisions.jsonl`,
`supervised-data/` and the run `supervised/`; `pairs.jsonl`, `judgements.jsonl`, `preference-data/` and the run
`preferred/`; `audit.jsonl`, which tells of every decision the principles it was made by, and `figures.json`.
"""

import os
import sys

from trivium import config as configuration
from trivium.data.provenance import content_sha256
from trivium.errors import DataError, Unsupported
from trivium.lm.load import saved_folder
from trivium.recipes.align.constitution.audit import write_audit
from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.exemplars import exemplars
from trivium.recipes.align.constitution.figures import Told, doubt, feedback_of, figures_of
from trivium.recipes.align.constitution.measuring import BEFORE, measured
from trivium.recipes.align.constitution.opening import Models
from trivium.recipes.align.constitution.page import constitution_page
from trivium.recipes.align.constitution.principles import Constitution, read_constitution
from trivium.recipes.align.constitution.stages import Work, once, preferences_of, prompts_of, revisions
from trivium.recipes.align.constitution.stages_then import PREFERRED, preferred, write_preferences
from trivium.recipes.align.constitution.supervised import RUN, tuned
from trivium.recipes.align.constitution.writing import Speaker
from trivium.reports.page import write
from trivium.runtime import allocator, processes, threads
from trivium.runtime.device import choose_device
from trivium.training.run import Run

_OF_THE_PLACE = ("output", "run", "resume")


def constitution(config: ConstitutionConfig, *, critic: Speaker | None = None, judge: Speaker | None = None) -> Run:
    """Carries out `config`, with a critic and a judge that a caller has opened in place of those that it names.

    The model is in `run.checkpoints / "best"`. Killed at any instant, a run that is resumed does what is left, and ends
    with the same files. Raises `UserError` before any work for models, prompts, a constitution or a folder that cannot
    be used; `Interrupted` after SIGINT or SIGTERM, once the present prompts or the present step are saved.
    """
    work = _begun(config, critic, judge)
    folder = work.run.folder
    prompts = prompts_of(work)
    revised = revisions(work, prompts.trained)
    final = once(work, RUN, lambda: tuned(config, folder, revised))
    models = {BEFORE: config.model, RUN: final.folder}
    judgements = preferences_of(work, prompts.trained, final.folder) if config.feedback.pairs else []
    if judgements:
        doubted = doubt(feedback_of(judgements))
        if doubted is not None:
            print(doubted, file=sys.stderr)
        write_preferences(work, judgements)
    if judgements and config.preferring.method != "none":
        final = preferred(work, final.folder)
        models[PREFERRED] = final.folder
    standing = measured(work, prompts.held_out, models)
    _lead_to(work.run, final)
    told = Told(prompts=prompts, revised=revised, judgements=judgements, standing=standing)
    write_audit(folder, told)
    figures = figures_of(work, told)
    write(constitution_page(work.run.folder.name, figures, told), work.run.report)
    print(f"the report is {work.run.report.resolve()}", file=sys.stderr)
    return work.run


def principles_of(config: ConstitutionConfig) -> Constitution:
    """The principles of ``config``. Raises `UserError` where they or another of its files cannot be used."""
    exemplars(config.exemplars)
    for path in (config.prompts, config.supervised.helpful, config.feedback.comparisons):
        if path is not None and not path.is_file():
            raise DataError("there is no such file", received=path, fix="check the path")
    return read_constitution(config.constitution).tagged(config.tags)


def _begun(config: ConstitutionConfig, critic: Speaker | None, judge: Speaker | None) -> Work:
    """The run, begun or gone on with; all that can be refused before any work is refused here."""
    if processes.place().world > 1:
        raise Unsupported(
            "a constitution is carried out by one process",
            received=f"{processes.place().world} processes",
            fix="start it without torchrun",
        )
    principles = principles_of(config)
    # For the whole run, as the stages that train set it: what is computed must not depend on which were done before.
    threads.set_threads(threads.choose_threads())
    allocator.keep_freed_memory()
    models = Models(config, choose_device(config.device), {"critic": critic, "judge": judge})
    models.check()
    settings = {
        **{name: value for name, value in configuration.to_dict(config).items() if name not in _OF_THE_PLACE},
        "principles": configuration.to_dict(principles),
        "prompts_sha256": content_sha256(config.prompts),
    }
    run = Run.start(config.output / config.run, settings, resume=config.resume)
    return Work(config=config, run=run, models=models, constitution=principles)


def _lead_to(run: Run, final: Run) -> None:
    """Makes the run's "best" checkpoint lead to the model of its last training."""
    run.checkpoints.mkdir(exist_ok=True)
    fresh = run.checkpoints / ".best.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(saved_folder(final.folder), run.checkpoints))
    fresh.replace(run.checkpoints / "best")
