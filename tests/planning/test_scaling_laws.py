"""The laws against figures their papers give, and against each other."""

import math

import pytest

from trivium.planning import scaling_laws as laws


def test_losses_of_chinchilla_and_gopher():
    # Chinchilla: 70B parameters, 1.4T tokens; Gopher: 280B, 300B (Hoffmann et al. 2022, table 1, in eq. 10).
    assert laws.loss(70e9, 1.4e12) == pytest.approx(1.936, abs=1e-3)
    assert laws.loss(280e9, 300e9) == pytest.approx(1.993, abs=1e-3)


def test_allocation_follows_the_published_exponents():
    # Hoffmann et al., table 2, approach 3: N grows as C^0.46, D as C^0.54.
    (n1, d1), (n2, d2) = laws.optimal_allocation(1e21), laws.optimal_allocation(1e23)
    assert math.log(n2 / n1) / math.log(100) == pytest.approx(0.46, abs=0.01)
    assert math.log(d2 / d1) / math.log(100) == pytest.approx(0.54, abs=0.01)
    assert 6 * n1 * d1 == pytest.approx(1e21)


def test_allocation_has_the_least_loss_of_its_budget():
    budget = 1e20
    best, tokens = laws.optimal_allocation(budget)
    for factor in (0.8, 0.95, 1.05, 1.25):
        assert laws.loss(best, tokens) < laws.loss(best * factor, tokens / factor)
    assert laws.optimal_parameters_for_tokens(tokens) == pytest.approx(best)


def test_four_passes_are_nearly_as_good_as_new_data_and_forty_are_not():
    # Muennighoff et al. 2023, section 6.1: up to 4 epochs repeated data is almost as good as new; the worth of a
    # repetition has fallen to 1/e after R_D* = 15.39 of them, and no number of passes is worth more than 16.39.
    assert laws.effective_tokens(1.0, 1.0) == 1.0
    assert laws.effective_tokens(4.0, 1.0) == pytest.approx(3.725, abs=1e-3)
    assert laws.effective_tokens(40.0, 1.0) == pytest.approx(1 + 15.39 * (1 - math.exp(-39 / 15.39)))
    assert laws.effective_tokens(1e9, 1.0) == pytest.approx(16.39)


def test_the_marginal_worth_of_a_repetition_decays_as_published():
    step = 1e-4
    slope = (laws.effective_tokens(1 + 15.39 + step, 1.0) - laws.effective_tokens(1 + 15.39, 1.0)) / step
    assert slope == pytest.approx(1 / math.e, rel=1e-3)


def test_parameters_beyond_what_the_data_can_use_count_less():
    useful = laws.optimal_parameters_for_tokens(1e9)
    assert laws.effective_parameters(useful / 2, 1e9) == useful / 2
    assert useful < laws.effective_parameters(4 * useful, 1e9) < 4 * useful
    assert laws.effective_parameters(1e15, 1e9) == pytest.approx(useful * (1 + 5.31))


def test_with_plenty_of_data_both_laws_choose_alike():
    assert laws.optimal_parameters(1e20, 1e15) == pytest.approx(laws.optimal_allocation(1e20)[0], rel=1e-3)


def test_little_data_calls_for_a_smaller_model_read_more_often():
    # Muennighoff et al., section 5: with repeated data, allocate compute to epochs faster than to parameters.
    parameters, tokens = laws.optimal_allocation(1e20)
    constrained = laws.optimal_parameters(1e20, tokens / 10)
    assert 0.3 * parameters < constrained < 0.99 * parameters
