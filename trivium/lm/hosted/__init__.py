"""Models that are reached as a service: the same `LanguageModel` over a network."""
