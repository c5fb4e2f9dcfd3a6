"""The recorded numbers of parameters are those of the networks."""

import subprocess
import sys

import pytest
import torch

from trivium.models import ARCHITECTURES, Architecture
from trivium.models.parameter_counts import PARAMETERS
from trivium.models.table import architectures


@pytest.mark.parametrize("entry", ARCHITECTURES, ids=lambda entry: entry.name)
def test_counts_are_those_of_the_networks(entry: Architecture) -> None:
    counted = {}
    with torch.device("meta"):
        for name, config in entry.sizes().items():
            counted[name] = sum(parameter.numel() for parameter in entry.model_class()(config).parameters())
    assert PARAMETERS.get(entry.name, {}) == counted, "write these into trivium/models/parameter_counts.py"


def test_rows_are_in_the_order_of_the_table_and_nothing_else_is_recorded() -> None:
    assert [row.name for row in architectures()] == [entry.name for entry in ARCHITECTURES]
    assert PARAMETERS.keys() <= {entry.name for entry in ARCHITECTURES}


def test_the_table_needs_no_torch() -> None:
    code = "import sys, trivium; trivium.architectures(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
