"""What every message from outside has in common: somebody sent it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from services.router.domain.principal import LOCAL, Principal, Role


@dataclass(slots=True, kw_only=True)
class FromCaller:
    """A message that somebody sent.

    `credentials` is what the caller shows for itself, as HTTP has it (`Bearer …`); `principal` who that turned out to
    be. `needs` is the least role that may send such a message.
    """

    needs: ClassVar[Role] = Role.CALLER

    credentials: str = field(default="", repr=False)
    principal: Principal = LOCAL

    def about(self) -> dict[str, str]:
        """What the metadata of an error says that came before anything was done."""
        return {}
