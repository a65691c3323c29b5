"""Says what was booked without a cost although its tokens are known: such spend is nowhere else to be seen."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from mesh.metrics import Metrics
from services.ledger.domain.booking import needs_price
from services.ledger.domain.posting import Change

_MOST_NAMED = 1000
_log = logging.getLogger(__name__)


class Unpriced:
    """Counts such attempts, and names each model once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._named: set[tuple[str, str]] = set()

    def note(self, changes: Iterable[Change]) -> None:
        """To be told what has become of rows."""
        unpriced = Counter(
            (after.provider_name, after.model_used)
            for before, after in changes
            if needs_price(after) and not (before is not None and needs_price(before))
        )
        for (provider, model), count in unpriced.items():
            self._metrics.count("tollway.ledger.unpriced", count, {"tollway.provider": provider})
            if (provider, model) not in self._named and len(self._named) < _MOST_NAMED:
                self._named.add((provider, model))
                _log.warning(
                    "No price is known of %s/%s: what it costs is not booked. "
                    "`tollway prices set %s %s 'input: 0.10, output: 0.40'` sets one, per 1M tokens.",
                    *(provider, model, provider, model),
                )
