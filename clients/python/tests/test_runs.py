"""Watching many runs."""

from runwire.runs import Seen
from runwire.v1 import run_pb2


def updated(
    sequence: int, state: "run_pb2.Run.State.ValueType" = run_pb2.Run.STATE_RUNNING
) -> run_pb2.RunEvent:
    return run_pb2.RunEvent(sequence=sequence, run_updated=run_pb2.Run(state=state))


def test_what_a_snapshot_has_covered_is_not_shown_again() -> None:
    seen = Seen()
    snapshot = run_pb2.RunEvent(sequence=5, snapshot=run_pb2.RunSnapshot(runs=[run_pb2.Run()]))
    assert seen.is_new("a", snapshot)
    assert not seen.is_new("a", updated(5))
    assert seen.is_new("b", updated(1))
    ended = updated(6, run_pb2.Run.STATE_SUCCEEDED)
    assert [seen.is_new("a", ended), seen.is_new("a", ended)] == [True, False]
    assert seen.is_new("a", snapshot), "a snapshot begins anew"


def test_runs_that_have_ended_are_not_remembered_for_ever() -> None:
    seen = Seen()
    for number in range(Seen.FINISHED + 1):
        assert seen.is_new(str(number), updated(2, run_pb2.Run.STATE_FAILED))
    assert len(seen._newest) == Seen.FINISHED
