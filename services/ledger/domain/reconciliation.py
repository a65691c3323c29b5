"""What was booked beside what was invoiced, by day and model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.ledger.domain.invoices import Place
from services.ledger.domain.model_names import family, undated
from tollway.ledger.v1.invoice_pb2 import InvoiceLine, InvoiceSums

FIGURES = tuple(InvoiceSums.DESCRIPTOR.fields_by_name)


@dataclass(slots=True)
class Booked:
    """What attempts of a day and model come to."""

    sums: InvoiceSums
    unpriced: int = 0
    unsettled: int = 0


@dataclass(slots=True)
class _Side:
    """The names that a line's figures are under, and their sums."""

    names: set[str] = field(default_factory=set)
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, sums: InvoiceSums) -> None:
        self.names.add(name)
        for figure in FIGURES:
            if sums.HasField(figure):  # type: ignore[arg-type] # one of its fields
                self.sums[figure] = self.sums.get(figure, 0) + getattr(sums, figure)


def compare(booked: Mapping[Place, Booked], invoiced: Mapping[Place, InvoiceSums]) -> list[InvoiceLine]:
    """The lines, by day and model.

    Names are taken as they are where both sides have the same of a model. Where they have not, because one of them
    tells snapshots apart, all of the model's are taken together: whose usage is whose cannot be told.
    """
    called = _labels([place.model for place in booked], [place.model for place in invoiced])
    ours: dict[Place, _Side] = {}
    theirs: dict[Place, _Side] = {}
    unpriced: dict[Place, int] = {}
    unsettled: dict[Place, int] = {}
    for place, there in booked.items():
        line = Place(place.day, called[place.model])
        ours.setdefault(line, _Side()).add(place.model, there.sums)
        unpriced[line] = unpriced.get(line, 0) + there.unpriced
        unsettled[line] = unsettled.get(line, 0) + there.unsettled
    for place, sums in invoiced.items():
        theirs.setdefault(Place(place.day, called[place.model]), _Side()).add(place.model, sums)
    nothing, none = _Side(sums=dict.fromkeys(FIGURES, 0)), _Side()
    return [
        InvoiceLine(
            day=line.day,
            model=line.model,
            models_booked=sorted(ours.get(line, none).names),
            models_invoiced=sorted(theirs.get(line, none).names),
            booked=InvoiceSums(**ours.get(line, nothing).sums),
            invoiced=InvoiceSums(**theirs.get(line, none).sums),
            unpriced_attempts=unpriced.get(line, 0),
            unsettled_attempts=unsettled.get(line, 0),
        )
        for line in sorted({*ours, *theirs})
    ]


def total(lines: Iterable[InvoiceLine]) -> InvoiceLine:
    """All lines together. Of what was invoiced, a figure that no line has is absent."""
    ours, theirs = _Side(sums=dict.fromkeys(FIGURES, 0)), _Side()
    whole = InvoiceLine()
    for line in lines:
        ours.add("", line.booked)
        theirs.add("", line.invoiced)
        whole.unpriced_attempts += line.unpriced_attempts
        whole.unsettled_attempts += line.unsettled_attempts
    whole.booked.CopyFrom(InvoiceSums(**ours.sums))
    whole.invoiced.CopyFrom(InvoiceSums(**theirs.sums))
    return whole


def _labels(booked: Sequence[str], invoiced: Sequence[str]) -> dict[str, str]:
    """What each name's line is called: itself, or the name of its family."""
    families: dict[str, tuple[set[str], set[str]]] = {}
    for side, names in enumerate((booked, invoiced)):
        for name in names:
            families.setdefault(family(name), (set(), set()))[side].add(name)
    labels: dict[str, str] = {}
    for ours, theirs in families.values():
        common = undated(min(ours or theirs, key=lambda name: (len(name), name)))
        for name in ours | theirs:
            labels[name] = name if ours == theirs or len(ours | theirs) == 1 else common
    return labels
