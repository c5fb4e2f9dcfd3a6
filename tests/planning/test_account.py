"""The accounts that people quote."""

from trivium.planning.account import PUBLISHED_EXAMPLE, classic_bytes, classic_line, readable_bytes


def test_the_classic_account():
    assert classic_bytes(10**9) == 24 * 10**9  # "24 GB for a billion parameters"
    assert classic_line(10**9).startswith("4 bytes a parameter and 20 to train it in fp32")
    assert classic_line(10**9).endswith("22.35 GiB")


def test_the_published_example_of_lora():
    assert (PUBLISHED_EXAMPLE.trained, PUBLISHED_EXAMPLE.whole) == (4608, 32768)
    assert "trains 4,608 numbers instead of 32,768 (86% fewer)" in str(PUBLISHED_EXAMPLE)


def test_small_sizes_are_told_in_mib():
    assert readable_bytes(2**30) == "1.00 GiB" and readable_bytes(2**30 - 1) == "1,024.0 MiB"
    assert readable_bytes(150_000) == "0.1 MiB"
