"""A fault plan as a value: what it may say, and when its faults fire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.emulator import Fault, FaultPlan, Operation

CHUNK = Operation.UPLOAD_CHUNK


def firings(plan: FaultPlan, calls: int, operation: Operation = CHUNK) -> list[list[int]]:
    """For each call the places of the faults that fire."""
    return [[at for at in plan.matching(operation) if plan.fire(at)] for _ in range(calls)]


def test_by_number_of_the_call() -> None:
    plan = FaultPlan((Fault(operation="upload_chunk", call=2, status=503), Fault(call=[1, 3], delay=1)))
    assert firings(plan, 4) == [[1], [0], [1], []]
    assert plan.fired == (1, 2)
    assert plan.unfired() == ()
    plan.restart()
    assert plan.fired == (0, 0)
    assert plan.unfired() == plan.faults


def test_calls_of_other_operations_do_not_count() -> None:
    plan = FaultPlan((Fault(operation="finish_upload", call=1, status=503),))
    assert firings(plan, 3) == [[], [], []]
    assert firings(plan, 1, Operation.FINISH_UPLOAD) == [[0]]


def test_a_fault_that_is_only_picked_has_not_fired() -> None:
    plan = FaultPlan((Fault(operation="upload_chunk", call=1, drop=True, after_bytes=10),))
    assert plan.matching(CHUNK) == (0,)
    assert plan.unfired() == plan.faults


def test_times_bounds_every_kind() -> None:
    plan = FaultPlan((Fault(status=500, times=2), Fault(probability=1.0, status=500, times=1), Fault(status=500)))
    assert firings(plan, 4) == [[0, 1, 2], [0, 2], [2], [2]]


def test_fewer_firings_than_calls_named_is_unfired() -> None:
    plan = FaultPlan((Fault(call=[1, 5], status=500), Fault(call=[1, 5], times=1, status=500)))
    firings(plan, 2)
    assert plan.unfired() == plan.faults[:1]


@given(st.integers(), st.floats(0.2, 0.95))
def test_chances_depend_on_the_seed_alone(seed: int, probability: float) -> None:
    fault = Fault(operation="upload_chunk", probability=probability, status=503)
    one, two = FaultPlan((fault,), seed), FaultPlan((fault,), seed)
    mixed = FaultPlan((Fault(operation="get_status", status=500), fault), seed)
    drawn = firings(one, 200)
    assert drawn == firings(two, 200)
    assert len(firings(mixed, 200)) == 200
    assert sum(map(len, drawn)) > 0 or probability < 0.2


def test_chances_come_about_as_often_as_they_say() -> None:
    plan = FaultPlan((Fault(probability=0.25, status=503),), seed=7)
    assert 400 < sum(map(len, firings(plan, 2000))) < 600


PLAN = {
    "seed": 7,
    "faults": [
        {"operation": "upload_chunk", "call": 2, "status": 503, "headers": {"Retry-After": "1"}},
        {"operation": "upload_chunk", "call": [3, 4], "after_bytes": 100, "drop": True},
        {"operation": "*", "probability": 0.5, "delay": 0.01, "times": 9},
        {"operation": "upload_chunk", "wrong_md5": True, "short_accept": 1},
        {"operation": "get_status", "token": "expired", "drop_file": True},
        {"operation": "finish_upload", "lost_answer": True, "lag": 5.0},
        {"operation": "get_urls", "truncate": 0},
        {"operation": "get_urls", "oversize": 1000000},
        {"operation": "authorize", "code": "A21331", "body": "{"},
        {"operation": "upload_chunk", "stall": 0.5, "after_bytes": 1},
    ],
}


def test_json_there_and_back() -> None:
    plan = FaultPlan.from_json(json.dumps(PLAN))
    assert json.loads(plan.to_json()) == PLAN
    assert FaultPlan.from_json(plan.to_json()) == plan
    assert FaultPlan.from_json(json.dumps(PLAN["faults"])).faults == plan.faults
    assert plan.faults[0].headers == {"Retry-After": "1"}
    assert hash(plan) == hash(FaultPlan.from_json(plan.to_json()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("7", "faults"),
        ("{}", "faults"),
        ('{"faults": {}}', "faults"),
        ('{"faults": [1]}', "faults[0]"),
        ('{"faults": [], "sede": 1}', "sede"),
        ('{"faults": [], "seed": "x"}', "seed"),
        ('[{"status": 500}, {"statsu": 500}]', "faults[1]: unknown field 'statsu'"),
        ('[{"status": "500"}]', "faults[0]: status"),
        ('[{"delay": true}]', "delay"),
    ],
)
def test_bad_json_names_the_place(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        FaultPlan.from_json(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "needs an effect"),
        ({"operation": "upload"}, "operation"),
        ({"operation": None, "status": 500}, "operation"),
        *(({"status": 500, "call": call}, "call") for call in (0, -1, True, "1", [], [1, 0], 1.5, {})),
        *(({"status": 500, "probability": chance}, "probability") for chance in (0, 1.1, -1, "x", True, float("nan"))),
        ({"status": 500, "call": 1, "probability": 0.5}, "call and probability"),
        ({"status": 500, "times": 0}, "times"),
        ({"status": 99}, "status"),
        ({"status": 600}, "status"),
        ({"status": 100}, "status"),
        ({"delay": -1}, "delay"),
        ({"delay": float("inf")}, "delay"),
        ({"delay": 1e9}, "delay"),
        ({"code": 5}, "code"),
        ({"body": b""}, "body"),
        ({"headers": {"a": 1}}, "headers"),
        ({"headers": {"a\r\nb": "c"}}, "headers"),
        ({"headers": {"a": "b\r\nc: d"}}, "headers"),
        ({"headers": {"Content-Length": "0"}}, "Content-Length"),
        ({"headers": "Retry-After: 1"}, "headers"),
        ({"drop": 1}, "drop"),
        ({"token": "lost"}, "token"),
        ({"truncate": -1}, "truncate"),
        ({"oversize": 0}, "oversize"),
        ({"operation": "upload_chunk", "short_accept": 0}, "short_accept"),
        ({"operation": "get_status", "wrong_md5": True}, "wrong_md5 goes with operation 'upload_chunk'"),
        ({"stall": 1}, "stall goes with operation 'upload_chunk'"),
        ({"after_bytes": 5, "lost_answer": True}, "after_bytes does not go with lost_answer"),
        ({"operation": "get_status", "after_bytes": 5, "drop": True}, "after_bytes does not go with operation"),
        ({"drop": True, "status": 500}, "drop and status"),
        ({"drop": True, "lost_answer": True}, "drop and lost_answer"),
        ({"truncate": 1, "oversize": 10}, "truncate and oversize"),
        ({"operation": "upload_chunk", "wrong_md5": True, "status": 500}, "wrong_md5 needs"),
        ({"lag": 1, "drop": True}, "lag needs"),
        ({"status": 204, "body": "x"}, "204"),
    ],
)
def test_what_means_nothing_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        Fault(**fields)
    assert words in str(caught.value)


@pytest.mark.parametrize("faults", ["x", {}, Fault(status=500), [1]])
def test_a_plan_holds_faults_only(faults: Any) -> None:
    with pytest.raises(ValueError, match="faults"):
        FaultPlan(faults)
