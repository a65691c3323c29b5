"""What is asked of the catalogue, and what it answers."""

from __future__ import annotations

from typing import NamedTuple

from tollway.ledger.v1.ledger_pb2 import Price


class Wanted(NamedTuple):
    """A provider's model whose price is wanted, and what its provider can be known by in the catalogue.

    `catalogue_id` is who the configuration says it is there, empty where it says nothing.
    """

    provider_name: str
    model_name: str
    base_url: str = ""
    catalogue_id: str = ""


class Found(NamedTuple):
    """Each model's prices, as far as there are any, in the order in which they take effect; and providers that are not
    known there."""

    prices: list[list[Price]]
    strangers: list[str]
