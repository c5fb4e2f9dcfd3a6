"""What penalties look back at, step by step."""

from trivium.generation.history import History, places


def test_one_history_serves_all_steps_of_a_growing_answer() -> None:
    answer: list[int] = []
    kept = History([7, 8, 9], answer)
    for token in range(50):
        fresh = History((7, 8, 9), tuple(answer))
        for prompt in (True, False):
            assert kept.tokens(prompt=prompt).tolist() == fresh.tokens(prompt=prompt).tolist()
        assert kept.tokens().tolist() == [7, 8, 9, *answer]
        assert kept.tokens(prompt=False).tolist() == answer
        answer += [token] * (token % 4)


def test_a_history_is_equal_by_its_tokens_and_may_be_empty() -> None:
    looked_at = History([1], [2])
    looked_at.tokens()
    assert looked_at == History([1], [2]) != History([1], [3])
    assert History([]).tokens().tolist() == []


def test_places_count_rows_and_leave_out_what_no_vocabulary_has() -> None:
    histories = [History([1, 2], [2]), History([]), History([9, 0], [3])]
    assert places(histories, 9, prompt=True).tolist() == [1, 2, 2, 18, 21]
    assert places(histories, 9, prompt=False).tolist() == [2, 21]
