"""Which services run in this process, where they listen, and where the others are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mesh.config.addresses import check_target, overlap, parse_address

NAMES = ("gateway", "router", "providers", "ledger")
NEEDS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("router",),
    "router": ("providers", "ledger"),
    "providers": (),
    "ledger": (),
}


class PlacementError(ValueError):
    """The names and addresses given do not make a process. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What runs here (in order of NAMES), where it listens, and where what runs elsewhere is reached (by name)."""

    services: tuple[str, ...]
    listen: Mapping[str, str]
    connect: Mapping[str, str]

    @property
    def service_name(self) -> str:
        """`service.name` of the process: `tollway-router`, or `tollway` where everything shares one process."""
        return "tollway" if self.services == NAMES else "-".join(("tollway", *self.services))

    def together(self) -> dict[str, list[str]]:
        """Each gRPC address, with the services that listen there."""
        together: dict[str, list[str]] = {}
        for name, address in self.listen.items():
            if name != "gateway":
                together.setdefault(address, []).append(name)
        return together


def place(names: str, listen: str, connect: str, *, http: str, grpc: str) -> Placement:
    """The placement that `serve NAMES --listen … --connect …` asks for.

    `listen` is one address where one service is named, else `name=address,…`; a service without an address is reached
    in this process alone. With no `--listen` at all, the gateway listens on `http` and a lone other service on `grpc`.
    Raises PlacementError.
    """
    services = _names(names)
    addresses = _listen(services, listen, http, grpc)
    targets = _targets(services, connect) if connect else {}
    for name in services:
        for need in NEEDS[name]:
            if need not in services and need not in targets:
                raise PlacementError(
                    f"The {name} needs the {need}: say where it is with --connect {need}=ADDRESS, "
                    f"or run it here too with serve {','.join(n for n in NAMES if n in {*services, need})}."
                )
    return Placement(services, addresses, targets)


def _names(text: str) -> tuple[str, ...]:
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in NAMES:
            raise PlacementError(f"There is no service {name!r}: choose from {', '.join(NAMES)}.")
    if len(set(wanted)) != len(wanted):
        raise PlacementError(f"{text!r} names a service twice.")
    return tuple(name for name in NAMES if name in wanted)


def _listen(services: tuple[str, ...], listen: str, http: str, grpc: str) -> dict[str, str]:
    if not listen:
        addresses = {"gateway": http} if "gateway" in services else {}
        if len(services) == 1 and services[0] != "gateway":
            addresses[services[0]] = grpc
        if not addresses:
            raise PlacementError(f"Say who listens where: --listen {','.join(f'{n}=ADDRESS' for n in services)}.")
        return addresses
    if len(services) == 1 and not listen.startswith(tuple(f"{name}=" for name in NAMES)):
        addresses = {services[0]: listen}
        _check(parse_address, listen, "--listen")
    else:
        addresses = _pairs(listen, "--listen", parse_address)
    for name in addresses:
        if name not in services:
            raise PlacementError(f"--listen names {name}, which does not run in this process: add it to the names.")
        if name != "gateway" and "gateway" in addresses and overlap(addresses[name], addresses["gateway"]):
            raise PlacementError(f"The gateway and the {name} cannot listen at one address: HTTP and gRPC need two.")
    return addresses


def _targets(services: tuple[str, ...], connect: str) -> dict[str, str]:
    targets = _pairs(connect, "--connect", check_target)
    for name in targets:
        if name in services:
            raise PlacementError(f"{name} runs in this process: drop it from --connect, or from the names.")
        if not any(name in NEEDS[service] for service in services):
            raise PlacementError(f"Nothing in this process asks the {name}: drop it from --connect.")
    return targets


def _check(check: Callable[[str], object], address: str, option: str) -> None:
    try:
        check(address)
    except ValueError as error:
        raise PlacementError(f"{option} {error}, not {address!r}.") from None


def _pairs(text: str, option: str, check: Callable[[str], object]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in text.split(","):
        name, equals, address = item.strip().partition("=")
        if not equals or not address or name not in NAMES:
            raise PlacementError(f"{option} {item!r} is not NAME=ADDRESS with a NAME of {', '.join(NAMES)}.")
        if name in pairs:
            raise PlacementError(f"{option} names {name} twice.")
        _check(check, address, f"{option} {name}")
        pairs[name] = address
    return pairs
