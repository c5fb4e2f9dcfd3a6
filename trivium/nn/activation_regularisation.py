"""Penalties on what a recurrent network puts out: AR and TAR.

Merity, McCann and Socher 2017, "Revisiting Activation Regularization for Language RNNs"; Merity et al. 2018, section
4.6. Both are sums over tokens of means over the D channels, so that divided by the number of tokens they are the means
of the authors' program.
"""

from jaxtyping import Bool, Float
from torch import Tensor


def activation_regularisation(h: Float[Tensor, "B T D"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """sum_t |h_t|^2 / D over the tokens where ``valid``; Merity et al. give it the output after dropout, m * h_t."""
    return h[valid].square().mean(-1).sum()


def temporal_activation_regularisation(h: Float[Tensor, "B T D"], follows: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """sum_t |h_t - h_{t-1}|^2 / D over the tokens that ``follow`` the one to their left; given the raw output h."""
    changes = h[:, 1:] - h[:, :-1]
    return changes[follows[:, 1:]].square().mean(-1).sum()
