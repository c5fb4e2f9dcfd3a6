"""What cannot be built is told apart from what can; what is misfiled is filed rightly."""

from trivium.lm.hosted.providers import PROVIDERS
from trivium.models import ARCHITECTURES
from trivium.models.misfiled import MISFILED
from trivium.models.parameter_counts import PARAMETERS
from trivium.models.table import misfiled
from trivium.models.unpublished import UNPUBLISHED


def test_nothing_is_both_unpublished_and_built() -> None:
    built = {row.name for row in ARCHITECTURES} | {size for sizes in PARAMETERS.values() for size in sizes}
    for model in UNPUBLISHED:
        assert model.name.lower().replace(" ", "-") not in built
        assert model.stand_in is None or model.stand_in in built
        assert model.service is None or model.service in PROVIDERS


def test_misfiled_architectures_are_of_the_table_and_of_another_kind() -> None:
    rows = misfiled()
    assert {row.name for row in rows} == MISFILED.keys()
    for row in rows:
        assert row.kind == "decoder"
        assert row.taken_for != row.kind
