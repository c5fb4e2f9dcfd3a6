"""Near-copies and groups fall on one side."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.documents import Document
from trivium.data.splits import is_held_out, sides, split_by_cluster


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 30))), st.randoms(use_true_random=False))
def test_no_group_and_no_cluster_has_both_sides(pairs: list[tuple[str, int]], draw) -> None:
    def judged(rows: list[tuple[str, int]]) -> list[bool]:
        labels = [label for _, label in rows]
        first = np.array([labels.index(label) for label in labels], dtype=np.int64)
        return sides([group for group, _ in rows], first, 0.5).tolist()

    side_of: dict[object, set[bool]] = {}
    held = judged(pairs)
    for (group, label), out in zip(pairs, held, strict=True):
        side_of.setdefault(group, set()).add(out)
        side_of.setdefault(label, set()).add(out)
    assert all(len(found) == 1 for found in side_of.values())
    # In another order the same documents are held out.
    order = list(range(len(pairs)))
    draw.shuffle(order)
    assert judged([pairs[place] for place in order]) == [held[place] for place in order]


def test_a_group_without_near_copies_falls_as_without_clusters() -> None:
    groups = [f"module{n % 200}" for n in range(400)]
    assert sides(groups, np.arange(400), 0.1).tolist() == [is_held_out(group, 0.1) for group in groups]
    alone = np.arange(400)
    alone[7] = 3  # module7 and module3 are one now, under the name of module3
    held = sides(groups, alone, 0.1)
    expected = [is_held_out("module3" if group == "module7" else group, 0.1) for group in groups]
    assert held.tolist() == expected
    assert len(sides([], np.zeros(0, dtype=np.int64), 0.1)) == 0


def test_about_the_share_asked_for_is_held_out() -> None:
    groups = [f"page{n}" for n in range(5000)]
    pairs = np.arange(5000) // 2 * 2  # every two pages are near-copies
    assert 0.08 < sides(groups, pairs, 0.1).mean() < 0.12


def test_edited_copies_do_not_straddle() -> None:
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(200):
        words = [f"w{n}" for n in draw.integers(10**6, size=100)]
        texts += [" ".join(words), " ".join([*words[:40], "changed", *words[41:]])]
    documents = [
        Document(id=str(n), text=text, origin="test", kind="text", group=f"page{n}") for n, text in enumerate(texts)
    ]
    config = MinHashConfig()
    split = split_by_cluster(documents, clusters(signatures(texts, config), config), 0.2)
    assert split.by == "cluster"
    assert [document.id for document in split.train] == sorted((d.id for d in split.train), key=int)
    train, validation = ({int(document.id) // 2 for document in side} for side in (split.train, split.validation))
    assert not train & validation
    assert 20 <= len(validation) <= 60
