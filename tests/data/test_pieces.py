"""What becomes one document of a shard."""

from trivium.data.documents import Document
from trivium.data.pieces import head, pieces
from trivium.data.splits import BOTH, TRAIN, VALIDATION


def document(name: str, group: str = "g", text: str | None = None, label: str | None = None) -> Document:
    return Document(id=name, text=name if text is None else text, origin="o", kind="text", group=group, label=label)


def test_neighbours_of_one_group_are_joined_in_their_order() -> None:
    kept = [document("a1", "a"), document("a2", "a"), document("b1", "b"), document("a3", "a")]
    joined = list(pieces(((each, TRAIN) for each in kept), join_groups=True, held_out_tail=0.1))
    assert [(each.ids, each.text) for each in joined] == [
        (["a1", "a2"], "a1\n\n\na2"),
        (["b1"], "b1"),
        (["a3"], "a3"),
    ]
    apart = pieces(((each, TRAIN) for each in kept), join_groups=False, held_out_tail=0.1)
    assert [each.text for each in apart] == ["a1", "a2", "b1", "a3"]


def test_only_what_agrees_in_everything_is_joined() -> None:
    kept = [(document("a"), TRAIN), (document("b"), VALIDATION), (document("c", label="x"), VALIDATION)]
    assert [each.side for each in pieces(kept, join_groups=True, held_out_tail=0.1)] == [
        "train",
        "validation",
        "validation",
    ]


def test_the_end_of_a_text_on_both_sides_is_held_out() -> None:
    text = "".join(f"line {n}\n" for n in range(1000))
    first, last = pieces([(document("a", text=text), BOTH)], join_groups=False, held_out_tail=0.1)
    assert (first.side, last.side) == ("train", "validation")
    assert first.text + last.text == text
    assert len(first.text) == int(len(text) * 0.9)
    assert first.text == head(text, 0.1)
    (only,) = pieces([(document("a", text="x"), BOTH)], join_groups=False, held_out_tail=0.1)
    assert only.side == "validation"
