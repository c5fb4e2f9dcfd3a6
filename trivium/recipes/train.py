"""`trivium.train(config)`: the recipe that the configuration belongs to."""

from trivium.recipes.classification import ClassificationConfig, classification
from trivium.recipes.embedding import EmbeddingConfig, embedding
from trivium.recipes.question_answering import QuestionAnsweringConfig, question_answering
from trivium.recipes.tagging import TaggingConfig, tagging
from trivium.recipes.text_to_text import TextToTextConfig, text_to_text
from trivium.recipes.translation import TranslationConfig, translation
from trivium.training.run import Run

TaskConfig = (
    TranslationConfig
    | ClassificationConfig
    | TaggingConfig
    | QuestionAnsweringConfig
    | TextToTextConfig
    | EmbeddingConfig
)
"""What may be trained."""


def train(config: TaskConfig) -> Run:
    """Trains a model for the task that ``config`` describes; see its recipe for what is raised.

    ``trivium.load(run.folder)`` opens the model.
    """
    match config:
        case TranslationConfig():
            return translation(config)
        case ClassificationConfig():
            return classification(config)
        case TaggingConfig():
            return tagging(config)
        case QuestionAnsweringConfig():
            return question_answering(config)
        case TextToTextConfig():
            return text_to_text(config)
        case EmbeddingConfig():
            return embedding(config)
