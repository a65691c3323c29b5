from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.rendezvous import ranked
from tests.unit.services.router.domain.questions import deployments, pool

KEYS = [number.to_bytes(16, "big") for number in range(2000)]


def test_keys_are_spread_by_weight() -> None:
    candidates = pool(*deployments("a", "b", "c", weights=[1, 1, 2])).candidates
    first = Counter(ranked(key, candidates)[0].deployment.provider for key in KEYS)
    shares = {"a": 0.25, "b": 0.25, "c": 0.5}
    assert all(abs(first[name] / len(KEYS) - share) < 0.04 for name, share in shares.items())


@given(st.sets(st.sampled_from("abcdefgh"), min_size=2), st.data())
def test_when_one_leaves_only_its_own_keys_move(names: set[str], data: st.DataObject) -> None:
    candidates = pool(*deployments(*sorted(names))).candidates
    leaving = data.draw(st.sampled_from(candidates))
    staying = [candidate for candidate in candidates if candidate is not leaving]
    moved = 0
    for key in KEYS[:200]:
        before = ranked(key, candidates)
        after = ranked(key, staying)
        assert after == [candidate for candidate in before if candidate is not leaving]
        moved += before[0] is leaving
    assert moved <= 200 / len(names) + 40


def test_the_order_they_are_given_in_does_not_matter() -> None:
    candidates = pool(*deployments("a", "b", "c")).candidates
    assert all(ranked(key, candidates) == ranked(key, candidates[::-1]) for key in KEYS[:50])
