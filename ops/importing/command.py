"""Owns the options of `holdfast import` and the printing of its report."""

# ruff: noqa: PLC0415 - see ops/cli.py

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.options import DEFAULT_BOOTSTRAP, Bootstrap, Json

if TYPE_CHECKING:
    from ops.importing.importer import ImportPlan, ImportReport


class WriteOff(StrEnum):
    """The reasons of a write-off."""

    SHRINKAGE = "shrinkage"
    DAMAGE = "damage"


def _speed(text: str) -> str:
    if text != "max":
        try:
            usable = float(text) > 0
        except ValueError:
            usable = False
        if not usable:
            raise typer.BadParameter(f"{text!r} is neither `max` nor a number above 0.")
    return text


def _encoding(text: str) -> str:
    try:
        "".encode(text)
    except LookupError:
        raise typer.BadParameter(f"{text!r} is no encoding that Python knows; `latin-1` is one.") from None
    return text


def _delimiter(text: str) -> str:
    text = "\t" if text == "tab" else text
    if len(text) != 1 or text in '"\r\n':
        raise typer.BadParameter(f"{text!r} cannot separate fields; give one character, or `tab`.")
    return text


CsvFile = Annotated[Path, typer.Argument(help="A CSV file with a header, also compressed with gzip (`.gz`).")]
ImportName = Annotated[
    str | None,
    typer.Option(help="The import's name, with which all its ids begin; default: a digest of the file's content."),
]
Encoding = Annotated[
    str, typer.Option(callback=_encoding, help="The file's encoding, such as `latin-1`; default: UTF-8.")
]
Delimiter = Annotated[
    str, typer.Option(callback=_delimiter, help="The character that separates fields; `tab` for a tab.")
]


def import_file(
    file: CsvFile,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    name: ImportName = None,
    warehouse: Annotated[str, typer.Option(help="Where goods are received, returned and written off.")] = "main",
    opening_stock: Annotated[int, typer.Option(min=0, help="Units that each SKU has at the start.")] = 0,
    replenish: Annotated[int, typer.Option(min=0, help="Units for each SKU after each week of recorded time.")] = 0,
    speed: Annotated[
        str,
        typer.Option(
            callback=_speed,
            metavar="max|FACTOR",
            help="`max`, or a factor of the recorded pace.",
        ),
    ] = "max",
    max_lines: Annotated[int | None, typer.Option("--lines", min=1, help="Import only so many lines.")] = None,
    cancel_prefix: Annotated[str, typer.Option(help="How the order id of a cancellation begins.")] = "C",
    write_off_reason: Annotated[WriteOff, typer.Option(help="The reason of a write-off.")] = WriteOff.SHRINKAGE,
    order_column: Annotated[str, typer.Option(help="The column of order ids.")] = "order_id",
    sku_column: Annotated[str, typer.Option(help="The column of SKUs.")] = "sku",
    quantity_column: Annotated[str, typer.Option(help="The column of quantities.")] = "quantity",
    time_column: Annotated[str, typer.Option(help="The column of times, such as 2011-08-31 17:15:00.")] = "ordered_at",
    country_column: Annotated[
        str, typer.Option(help="The column of countries, which become channels; may be empty.")
    ] = "country",
    encoding: Encoding = "utf-8-sig",
    delimiter: Delimiter = ",",
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait without any result.")] = 60,
    as_json: Json = False,
) -> None:
    """Import a file of order lines as commands, and report the results.

    An order line reserves and commits; a cancellation returns stock; a negative quantity of any other order is written
    off. Within 24 hours a second import of the same file changes nothing, so after an interruption just start it again.
    The exit code is 1 when a line was no order line, or a command was not answered exactly once.

    Example: `holdfast import orders.csv.gz --opening-stock 1000 --replenish 200`
    """
    from ops.importing.importer import ImportPlan, import_orders
    from ops.importing.order_files import digest_of
    from ops.importing.order_lines import Columns, Rules, check_rules
    from ops.problems import FOUND_WRONG

    rules = Rules(
        name=name or digest_of(file),
        warehouse=warehouse,
        opening_stock=opening_stock,
        replenish=replenish,
        cancel_prefix=cancel_prefix,
        write_off_reason=write_off_reason.value,
    )
    check_rules(rules)
    plan = ImportPlan(
        path=file,
        columns=Columns(
            order=order_column, sku=sku_column, quantity=quantity_column, time=time_column, country=country_column
        ),
        rules=rules,
        speed=None if speed == "max" else float(speed),
        max_lines=max_lines,
        timeout_s=timeout_s,
        encoding=encoding,
        delimiter=delimiter,
    )
    report = asyncio.run(import_orders(plan, bootstrap=bootstrap))
    _print(plan, report, as_json=as_json)
    raise typer.Exit(0 if report.ok else FOUND_WRONG)


def _print(plan: "ImportPlan", report: "ImportReport", *, as_json: bool) -> None:
    from ops.screen import print_json, print_table, say

    if as_json:
        print_json(report.as_json())
        return
    tally = report.tally
    print_table(("", ""), _rows(report))
    if tally.refused.get("idempotency_mismatch"):
        say(
            f"an import named {report.name} ran before with other options: its commands stay as they were. "
            "To import the file once more as something else, give it another --name."
        )
    if report.ok:
        say(f"every command of {plan.path.name} was answered exactly once")


def _rows(report: "ImportReport") -> list[tuple[str, object]]:
    tally = report.tally
    rows: list[tuple[str, object]] = [
        ("lines", report.lines),
        ("commands", tally.commands),
        ("accepted", tally.accepted),
        *((f"refused: {code}", count) for code, count in sorted(tally.refused.items())),
    ]
    seldom = (
        ("refused with their reserve", tally.follow_on),
        ("answered from memory: imported before", tally.replayed),
        ("lines that are no order line", report.unusable_lines),
    )
    rows.extend(row for row in seldom if row[1])
    rows.extend(
        [
            ("without a result", tally.unanswered),
            ("answered twice", tally.doubled),
            ("units asked for", tally.units_asked),
            ("units allocated", tally.units_allocated),
            ("fill rate", None if tally.fill_rate is None else f"{tally.fill_rate:.2%}"),
            ("seconds", round(report.seconds, 1)),
            ("commands a second", round(tally.commands / report.seconds) if report.seconds else None),
        ]
    )
    return rows
