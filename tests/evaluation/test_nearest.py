"""The nearest name is the one a person would pick."""

from trivium.evaluation.nearest import nearest_by_spelling


def test_same_last_part_wins_over_same_module():
    known = ["asyncio.queues.Queue.put", "json.decoder.JSONDecoder.decode", "asyncio.queues.Queue.empty", "os.getcwd"]
    found = nearest_by_spelling(["multiprocessing.queues.Queue.put", "email.decoder.decode", "os.getcwdb"], known)
    assert found.tolist() == [0, 1, 3]


def test_rare_runs_count_more_than_common_ones():
    known = [f"package.module.get_{name}" for name in ("alpha", "beta", "gamma")]
    assert nearest_by_spelling(["other.read_gamma"], known).tolist() == [2]
