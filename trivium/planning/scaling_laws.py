"""Loss foretold from the size of a model and of its data, and the sizes that spend a budget best.

Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", section 3.3 (approach 3), eq. 2 and 10:

    L(N, D) = E + A / N^alpha + B / D^beta

Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", section 3.1, eq. 5 and 6: when U unique tokens are
repeated, N and D count for less than they are,

    D' = U + U R_D* (1 - exp(-R_D / R_D*)),      R_D = D / U - 1 repetitions
    N' = U_N + U_N R_N* (1 - exp(-R_N / R_N*)),  R_N = N / U_N - 1 where N exceeds U_N, the best size for U tokens

Both were fitted on models of 70 million parameters and more. Far below that the absolute loss means nothing, and even
the order of two candidates, which is what we use, is an extrapolation: docs/log.md has what we measured.
"""

import math

A, B, E = 406.4, 410.7, 1.69
"""Coefficients of eq. 10 of Hoffmann et al., in nats."""
ALPHA, BETA = 0.34, 0.28
"""Exponents of the parameters and of the tokens, eq. 10."""
REPETITIONS_OF_DATA = 15.39
"""R_D*: after so many repetitions a token has kept 1/e of the worth of a new one (Muennighoff et al., section 6.1)."""
REPETITIONS_OF_PARAMETERS = 5.31
"""R_N*: the same for parameters beyond those that the unique tokens can use."""
OPERATIONS_PER_PARAMETER_AND_TOKEN = 6
"""A multiply and an add, forward once and backward twice (Kaplan et al. 2020, section 2.1)."""


def loss(parameters: float, tokens: float) -> float:
    """L(N, D) in nats a token, every token new."""
    return E + A / parameters**ALPHA + B / tokens**BETA


def loss_with_repetition(parameters: float, tokens: float, unique_tokens: float) -> float:
    """L(N', D') in nats a token, of a model that reads `tokens` in all from a text of `unique_tokens`."""
    return loss(effective_parameters(parameters, unique_tokens), effective_tokens(tokens, unique_tokens))


def effective_tokens(tokens: float, unique_tokens: float) -> float:
    """D': the number of new tokens that `tokens` read from a text of `unique_tokens` are worth."""
    unique = min(tokens, unique_tokens)
    return _worth(tokens, unique, REPETITIONS_OF_DATA)


def effective_parameters(parameters: float, unique_tokens: float) -> float:
    """N': the number of parameters that `parameters` are worth where only `unique_tokens` can be learnt from."""
    useful = min(parameters, optimal_parameters_for_tokens(unique_tokens))
    return _worth(parameters, useful, REPETITIONS_OF_PARAMETERS)


def optimal_allocation(operations: float) -> tuple[float, float]:
    """(parameters, tokens) with the least loss among those with 6 N D = `operations`, all data new (eq. 4)."""
    g = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA))
    product = operations / OPERATIONS_PER_PARAMETER_AND_TOKEN
    return g * product ** (BETA / (ALPHA + BETA)), product ** (ALPHA / (ALPHA + BETA)) / g


def optimal_parameters_for_tokens(tokens: float) -> float:
    """The size of the model for which `tokens` are the best amount of new data: the inverse of the above."""
    g = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA))
    product = (tokens * g) ** ((ALPHA + BETA) / ALPHA)
    return product / tokens


def optimal_parameters(operations: float, unique_tokens: float) -> float:
    """The size with the least loss when 6 N D = `operations` go into a text of `unique_tokens`, repeated at will."""

    def outcome(log_parameters: float) -> float:
        size = math.exp(log_parameters)
        tokens = operations / (OPERATIONS_PER_PARAMETER_AND_TOKEN * size)
        return loss_with_repetition(size, tokens, unique_tokens)

    centre = math.log(optimal_allocation(operations)[0])
    return math.exp(_least(outcome, centre - math.log(1e3), centre + math.log(1e3)))


def _worth(amount: float, unique: float, decay: float) -> float:
    """Eq. 5: the worth of going over `unique` things until `amount` have been used."""
    return unique * (1 + decay * (1 - math.exp(-(amount / unique - 1) / decay)))


def _least(function, low: float, high: float, tolerance: float = 1e-4) -> float:
    """Where a function with one valley is least in [low, high]: golden-section search."""
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > tolerance:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return (low + high) / 2
