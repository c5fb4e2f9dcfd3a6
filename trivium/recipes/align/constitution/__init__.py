"""Constitutional AI (Bai et al. 2022): a model made harmless by written principles, and little or no human labelling.

    run = constitution(ConstitutionConfig(model=Path("runs/helpful"), prompts=Path("red_team.jsonl")))

The model answers prompts that invite harm, a critic criticises and revises the answers under principles drawn from a
constitution, and the model is tuned on the revisions (section 3). The tuned model then writes pairs of answers, a judge
says by the same principles which of the two is better, and a model is trained on those preferences (section 4).
`recipe` reads from top to bottom; the other modules are its stages.
"""
