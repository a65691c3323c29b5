from __future__ import annotations

import pytest

from tollway_cli.placement import Placement, PlacementError, place


def placed(names: str, listen: str = "", connect: str = "") -> Placement:
    return place(names, listen, connect, http="127.0.0.1:8080", grpc="127.0.0.1:50051")


def test_a_lone_service_listens_on_the_one_address_given() -> None:
    placement = placed("ledger", "unix:/run/l.sock")
    assert placement.listen == {"ledger": "unix:/run/l.sock"}


def test_a_lone_service_may_also_be_named_with_its_address() -> None:
    assert placed("ledger", "ledger=unix:/run/l.sock").listen == {"ledger": "unix:/run/l.sock"}


def test_several_services_listen_where_each_is_told_to_and_the_rest_stay_inside() -> None:
    placement = placed("providers,router,gateway", "router=[::1]:50051,gateway=127.0.0.1:80", "ledger=unix:/l.sock")
    assert placement.services == ("gateway", "router", "providers")
    assert placement.listen == {"router": "[::1]:50051", "gateway": "127.0.0.1:80"}
    assert placement.connect == {"ledger": "unix:/l.sock"}


def test_without_addresses_the_configured_ones_hold() -> None:
    assert placed("gateway", connect="router=dns:///router:50051").listen == {"gateway": "127.0.0.1:8080"}
    assert placed("providers").listen == {"providers": "127.0.0.1:50051"}


def test_a_target_may_contain_slashes_and_colons() -> None:
    for target in ("dns:///router:50051", "dns://127.0.0.1:53/router:50051", "[::1]:50051", "ipv4:127.0.0.1:50051"):
        assert placed("gateway", connect=f"router={target}").connect == {"router": target}


def test_the_process_is_named_after_what_runs_in_it() -> None:
    assert placed("gateway,router,providers,ledger").service_name == "tollway"
    assert placed("ledger").service_name == "tollway-ledger"


@pytest.mark.parametrize(
    ("names", "listen", "connect", "says"),
    [
        ("cache", "", "", "no service 'cache'"),
        ("ledger,ledger", "", "", "twice"),
        ("gateway", "", "", "--connect router=ADDRESS"),
        ("router", "", "providers=unix:/p", "--connect ledger=ADDRESS"),
        ("router,providers", "", "ledger=unix:/l", "--listen router=ADDRESS,providers=ADDRESS"),
        ("router,providers", "unix:/r", "ledger=unix:/l", "not NAME=ADDRESS"),
        ("ledger", "router=unix:/r", "", "does not run in this process"),
        ("ledger", "", "ledger=unix:/l", "runs in this process"),
        ("gateway", "", "router=a:1,router=b:1", "names router twice"),
        ("gateway", "", "router=http://localhost:17002", "--connect router must be an address such as .*17002'"),
        ("gateway", "", "router=localhost", "--connect router must be an address such as .*, not 'localhost'"),
        ("gateway", "", "router=127.0.0.1:99999", "--connect router must be an address"),
        ("gateway", "", "router=dns:///router", "--connect router must be an address"),
        ("gateway", "", "router=127.0.0.1:0", "--connect router must be an address"),
        ("ledger", "", "router=127.0.0.1:50051", "Nothing in this process asks the router"),
        ("gateway", "", "router=127.0.0.1:1,ledger=127.0.0.1:2", "Nothing in this process asks the ledger"),
        ("ledger", ":50051", "", "--listen must be an address such as .*, not ':50051'"),
        ("router,providers", "router=:1", "ledger=unix:/l", "--listen router must be an address"),
        ("gateway,router,providers,ledger", "gateway=:8080", "", "--listen gateway must be an address"),
        ("gateway,router,providers", "gateway=0.0.0.0:1,router=[::1]:1", "ledger=unix:/l", "HTTP and gRPC need two"),
    ],
)
def test_what_makes_no_process_is_refused_with_what_to_do(names: str, listen: str, connect: str, says: str) -> None:
    with pytest.raises(PlacementError, match=says):
        placed(names, listen, connect)
