"""The waist between models and what is made of them: ``LanguageModel``, and how one is opened."""
