from bench.report import ALL_ON, BARE, DIALECTS, FOUR, ONE, Footprint, Results, Round, bars, table


def results(one: float = 300.0, four: float = 1000.0, idle: float = 60.0, mediator: float = 1.0) -> Results:
    def rounds(cpu: float) -> dict[str, list[Round]]:
        return {dialect: [Round(cpu, 1000.0, 1.0, 2.0), Round(cpu * 2, 900.0, 1.5, 3.0)] for dialect in DIALECTS}

    systems = {BARE: rounds(150.0), ONE: rounds(one), ALL_ON: rounds(one), FOUR: rounds(four)}
    return Results(systems, {name: Footprint(idle, idle + 10, 1.0) for name in systems}, mediator)


def test_every_bar_holds_where_every_figure_is_within_it() -> None:
    assert all(bar.held for bar in bars(results()))


def test_a_figure_beyond_its_bar_is_missed_and_named() -> None:
    missed = [str(bar) for bar in bars(results(one=460.0, idle=121.0, mediator=5.1)) if not bar.held]
    assert [line.split(":")[0] for line in missed] == [
        "MISSED one process, JSON, CPU over bare",
        "MISSED one process, SSE, CPU over bare",
        "MISSED one process, idle memory",
        "MISSED a mediator send through three behaviors",
    ]


def test_each_round_is_compared_with_the_bare_round_beside_it() -> None:
    # The machine was twice as slow in the second round, for both: the ratio does not move.
    assert results(one=300.0).ratio(ONE, "JSON") == 2.0


def test_the_table_has_a_row_for_each_system_and_kind_of_answer() -> None:
    lines = table(results()).splitlines()
    assert "| one process | SSE | 450 | 2.00 | 950 | 1.2 | 2.5 |" in lines
    assert "| four processes | 60 | 70 | 1.00 |" in lines
