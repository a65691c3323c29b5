from __future__ import annotations

from services.router.domain.outages import IN_A_ROW, Outage, Outages


def begun(outages: Outages) -> list[Outage]:
    found: list[Outage] = []
    outages.on_begin = found.append
    return found


def test_a_provider_is_offline_once_nobody_was_there_often_enough_in_a_row() -> None:
    outages = Outages()
    told = begun(outages)
    for _ in range(IN_A_ROW - 1):
        outages.unreachable("a", "refused", 1.0)
    assert not outages
    assert outages.of("a") is None
    outages.unreachable("a", "refused", 2.0)
    assert outages
    outage = outages.of("a")
    assert outage is not None
    assert (outage.why, outage.since, told) == ("refused", 2.0, [outage])
    assert outages.of("b") is None


def test_an_outage_begins_once() -> None:
    outages = Outages()
    told = begun(outages)
    for _ in range(10):
        outages.unreachable("a", "refused", 1.0)
    assert len(told) == 1


def test_whatever_is_heard_in_between_starts_the_count_anew() -> None:
    outages = Outages()
    for _ in range(5):
        for _ in range(IN_A_ROW - 1):
            outages.unreachable("a", "refused", 1.0)
        outages.reached("a")
    assert not outages


def test_whatever_is_heard_ends_the_outage() -> None:
    outages = Outages()
    for _ in range(IN_A_ROW):
        outages.unreachable("a", "refused", 1.0)
    outages.reached("a")
    assert not outages
    outages.unreachable("a", "refused", 2.0)
    assert not outages


def test_providers_are_counted_apart() -> None:
    outages = Outages()
    for _ in range(IN_A_ROW - 1):
        outages.unreachable("a", "refused", 1.0)
        outages.unreachable("b", "refused", 1.0)
    outages.reached("b")
    outages.unreachable("a", "refused", 1.0)
    outages.unreachable("b", "refused", 1.0)
    assert (outages.of("a") is not None, outages.of("b")) == (True, None)


def test_how_long_to_wait_is_until_somebody_looks_again() -> None:
    outage = Outage("a", "refused", 1.0, 5.0)
    assert (outage.wait(2.0), outage.wait(9.0)) == (3.0, 0.0)
