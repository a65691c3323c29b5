from __future__ import annotations

from mesh.errors import FieldViolation, Reason, TollwayError
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.verdict import LeftAlone, Showed, broken_off, verdict

_PLAN = Routes([Route("gpt", (Deployment("a", "x"), Deployment("b", "y")))]).plan("gpt")
assert _PLAN is not None
A, B = _PLAN.candidates


def test_a_lone_failure_is_told_as_it_was_shown() -> None:
    violations = (FieldViolation("temperature", "too hot"),)
    shown = TollwayError(Reason.UPSTREAM_REJECTED, "temperature: too hot", {"upstream_status": "400"}, None, violations)
    told = verdict([Showed(A, shown)])
    assert (told.reason, told.message) == (Reason.UPSTREAM_REJECTED, "temperature: too hot")
    assert told.metadata == {"upstream_status": "400", "deployment": "a/x"}
    assert told.violations == violations


def test_of_several_failures_the_last_is_told_and_the_message_says_what_each_showed() -> None:
    failures = [
        Showed(A, TollwayError(Reason.UPSTREAM_FAILED, "503 from a")),
        Showed(A, TollwayError(Reason.UPSTREAM_FAILED, "502 from a")),
        Showed(B, TollwayError(Reason.UPSTREAM_SILENT, "no headers within 30s")),
    ]
    told = verdict(failures)
    assert told.reason is Reason.UPSTREAM_SILENT
    assert told.metadata["deployment"] == "b/y"
    assert told.message == (
        "None of 2 deployments could answer. a/x: 502 from a (UPSTREAM_FAILED, 2 times); "
        "b/y: no headers within 30s (UPSTREAM_SILENT, once)"
    )


def test_where_everyone_is_busy_the_first_to_be_free_again_is_told() -> None:
    failures = [
        Showed(A, TollwayError(Reason.UPSTREAM_RATE_LIMITED, "busy", retry_after=20)),
        Showed(B, TollwayError(Reason.UPSTREAM_RATE_LIMITED, "busy", retry_after=60)),
    ]
    told = verdict(failures)
    assert (told.reason, told.retry_after) == (Reason.UPSTREAM_RATE_LIMITED, 20)
    assert told.metadata["deployment"] == "a/x"


def test_a_busy_candidate_beside_one_that_failed_otherwise_does_not_hide_that() -> None:
    failures = [
        Showed(A, TollwayError(Reason.UPSTREAM_RATE_LIMITED, "busy", retry_after=20)),
        Showed(B, TollwayError(Reason.UPSTREAM_CREDENTIALS, "no such key")),
    ]
    told = verdict(failures)
    assert (told.reason, told.retry_after) == (Reason.UPSTREAM_CREDENTIALS, None)


def test_busy_candidates_that_do_not_say_for_how_long_are_told_without_a_time() -> None:
    failures = [Showed(each, TollwayError(Reason.UPSTREAM_RATE_LIMITED, "busy")) for each in (A, B)]
    told = verdict(failures)
    assert (told.reason, told.retry_after) == (Reason.UPSTREAM_RATE_LIMITED, None)


def test_where_nobody_was_asked_because_all_are_left_alone_the_first_to_come_back_is_told() -> None:
    told = verdict([], [LeftAlone(A, "is left alone for 20s: it is down", 20), LeftAlone(B, "is being tried again", 1)])
    assert (told.reason, told.retry_after) == (Reason.NO_DEPLOYMENT_READY, 1)
    assert told.message == (
        "No deployment can be asked now. a/x is left alone for 20s: it is down; b/y is being tried again"
    )
    assert "deployment" not in told.metadata
    assert verdict([], [LeftAlone(A, "is down", 20)]).metadata == {"deployment": "a/x"}


def test_who_was_left_alone_is_told_beside_who_failed() -> None:
    failed = Showed(A, TollwayError(Reason.UPSTREAM_FAILED, "503 from a"))
    told = verdict([failed], [LeftAlone(B, "is left alone for 20s: it is down", 20)])
    assert told.message == (
        "None of 2 deployments could answer. a/x: 503 from a (UPSTREAM_FAILED, once); "
        "b/y is left alone for 20s: it is down"
    )
    assert told.retry_after is None


def test_where_all_who_failed_are_left_alone_now_it_is_told_for_how_long() -> None:
    failed = Showed(A, TollwayError(Reason.UPSTREAM_FAILED, "503 from a"))
    assert verdict([failed], [LeftAlone(A, "", 30), LeftAlone(B, "", 20)]).retry_after == 20
    refused = Showed(A, TollwayError(Reason.UPSTREAM_CREDENTIALS, "401 from a"))
    assert verdict([refused], [LeftAlone(A, "", 30)]).retry_after is None


def test_of_an_answer_that_broke_off_it_is_told_why_and_why_nobody_could_go_on() -> None:
    cut = Showed(A, TollwayError(Reason.UPSTREAM_CUT, "it broke off"))
    busy = Showed(A, TollwayError(Reason.UPSTREAM_RATE_LIMITED, "busy"))
    silent = Showed(B, TollwayError(Reason.UPSTREAM_SILENT, "nothing came"))
    told = broken_off(cut, [busy, cut, silent])
    assert (told.reason, told.metadata) == (Reason.UPSTREAM_CUT, {"deployment": "a/x"})
    assert told.message == "it broke off. Nobody could go on: b/y: nothing came (UPSTREAM_SILENT)"
    assert broken_off(cut, [busy, cut]).message == "it broke off"
