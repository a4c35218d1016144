"""Owns the options of `holdfast import-stock` and the printing of its report."""

# ruff: noqa: PLC0415 - see ops/cli.py

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from ops.importing.command import CsvFile, Delimiter, Encoding, ImportName
from ops.options import DEFAULT_BOOTSTRAP, Bootstrap, Json
from schemas.commands import AdjustReason

if TYPE_CHECKING:
    from ops.importing.stock_file import StockReport


def import_stock_file(
    file: CsvFile,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    name: ImportName = None,
    reason: Annotated[AdjustReason, typer.Option(help="The reason of every adjust.")] = "cycle_count",
    sku_column: Annotated[str, typer.Option(help="The column of SKUs.")] = "sku",
    warehouse_column: Annotated[str, typer.Option(help="The column of warehouses.")] = "warehouse",
    on_hand_column: Annotated[str, typer.Option(help="The column of good units.")] = "on_hand",
    damaged_column: Annotated[str, typer.Option(help="The column of damaged units.")] = "damaged",
    safety_stock_column: Annotated[str, typer.Option(help="The column of units that are kept back.")] = "safety_stock",
    quarantine_column: Annotated[str, typer.Option(help="The column of units in inspection.")] = "quarantine",
    encoding: Encoding = "utf-8-sig",
    delimiter: Delimiter = ",",
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait without any result.")] = 60,
    as_json: Json = False,
) -> None:
    """Set stock to the counts of a file: SKU, warehouse, and quantities on_hand, damaged, safety_stock, quarantine.

    Each quantity becomes an `adjust` to an absolute count; an empty cell leaves its bucket unchanged. After an
    interruption just start the import again: within 24 hours nothing is applied twice. The exit code is 1 when a line
    could not be used, or a command was refused or not answered exactly once.

    Example: `holdfast import-stock stock.csv --delimiter ';'`
    """
    from ops.importing.order_files import digest_of
    from ops.importing.order_lines import Rules, check_rules
    from ops.importing.stock_file import StockPlan, import_stock
    from ops.importing.stock_lines import StockColumns
    from ops.problems import FOUND_WRONG

    import_name = name or digest_of(file)
    check_rules(Rules(name=import_name))
    columns = StockColumns(
        sku=sku_column,
        warehouse=warehouse_column,
        on_hand=on_hand_column,
        damaged=damaged_column,
        safety_stock=safety_stock_column,
        quarantine=quarantine_column,
    )
    plan = StockPlan(
        path=file,
        name=import_name,
        reason=reason,
        columns=columns,
        delimiter=delimiter,
        encoding=encoding,
        timeout_s=timeout_s,
    )
    report = asyncio.run(import_stock(plan, bootstrap=bootstrap))
    _print(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else FOUND_WRONG)


def _print(report: "StockReport", *, as_json: bool) -> None:
    from ops.screen import print_json, print_table, say

    if as_json:
        print_json(report.as_json())
        return
    sent, tally = report.sent, report.sent.tally
    for command_id, code in tally.first_refused:
        number, bucket = command_id.split(":")[-2:]
        say(f"row {number} after the header: its {bucket} was refused: {code}")
    rows: list[tuple[str, object]] = [
        ("lines", sent.lines),
        ("lines that could not be used", sent.unusable_lines),
        ("commands", tally.commands),
        ("accepted", tally.accepted),
        *((f"refused: {code}", count) for code, count in sorted(tally.refused.items())),
        ("answered from memory: imported before", tally.replayed),
        ("without a result", tally.unanswered),
        ("answered twice", tally.doubled),
        *((f"units {bucket}", units) for bucket, units in report.units.items()),
        ("seconds", round(sent.seconds, 1)),
    ]
    print_table(("", ""), rows)
    if tally.refused.get("idempotency_mismatch"):
        say(
            f"an import named {sent.name} ran before with other counts or options: what it set stays as it is. "
            "To set the stock once more, give this import another --name."
        )
    elif tally.replayed:
        say(
            "what was answered from memory was set by the earlier run and is not set again, whatever moved since. "
            "To set the stock once more, give this import another --name."
        )
