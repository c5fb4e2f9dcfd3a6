"""`trivium.train(config)`: the recipe that the configuration belongs to."""

from trivium.recipes.classification import ClassificationConfig, classification
from trivium.recipes.tagging import TaggingConfig, tagging
from trivium.recipes.translation import TranslationConfig, translation
from trivium.training.run import Run


def train(config: TranslationConfig | ClassificationConfig | TaggingConfig) -> Run:
    """Trains a translator, a classifier or a tagger, whichever ``config`` describes; see its recipe for what is raised.

    ``trivium.load(run.folder)`` opens the model.
    """
    if isinstance(config, TranslationConfig):
        return translation(config)
    if isinstance(config, ClassificationConfig):
        return classification(config)
    return tagging(config)
