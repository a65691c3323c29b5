"""What of a question cannot be told to a provider: refused, or left out where the client said so."""

from __future__ import annotations

from mesh.errors import FieldViolation, Reason, TollwayError


class Unsaid:
    """Of one question to one provider. `allowed`: whether the client would rather have it left out than be refused."""

    def __init__(self, *, allowed: bool = False) -> None:
        self._allowed = allowed
        self.dropped: list[str] = []
        """Paths of what was left out, in the order in which it was met, each once."""

    def refuse(self, path: str, why: str) -> None:
        """The provider cannot be told the field at that path (`chat.sampling.seed`), and the answer may depend on it.

        Raises UNSUPPORTED_FEATURE, which names it, unless it may be left out. `why` goes on from the path: "cannot be
        told to this model", "has no place in Cohere's API".
        """
        if not self._allowed:
            raise TollwayError(
                Reason.UNSUPPORTED_FEATURE,
                f"{path} {why}; send x-tollway-drop-unsupported: 1 to have it left out",
                violations=(FieldViolation(path, why),),
            )
        self.leave_out(path)

    def leave_out(self, path: str) -> None:
        """The provider cannot be told, and answers the same without: a hint about cost, a label for nobody else."""
        if path not in self.dropped:
            self.dropped.append(path)
