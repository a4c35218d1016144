"""What people see: tables, whose texts come from data."""

import pytest

from ops.screen import print_rich, print_table
from ops.stock import print_book
from schemas.stock_changes import BookInbound, BookView


@pytest.mark.parametrize("text", ["[/red]", "[bold]x[/bold]", "\\[x]", ":smile:"])
def test_text_from_data_is_never_markup(text, capsys):
    print_table(("sku", text), [(text, 1)], title=text)
    title, header, row = capsys.readouterr().out.splitlines()
    assert title.strip() == text
    assert header.split() == ["sku", text]
    assert row.split() == [text, "1"]


def test_what_goes_into_a_pipe_is_as_wide_as_it_needs(capsys):
    print_rich("x" * 300)
    assert capsys.readouterr().out.splitlines() == ["x" * 300]


def test_a_title_is_one_line_however_narrow_its_table_is(capsys):
    title = "2 wait without a date, 3 for announced goods; settling"
    print_table(("a",), [("b",)], title=title)
    assert capsys.readouterr().out.splitlines()[0] == title


def test_a_book_in_which_units_only_wait_for_announced_goods_is_a_sentence_and_these_goods(capsys):
    print_book(BookView(0, 3, inbounds=[BookInbound("t-4", "york", 0, 20, 3, "leeds")]))
    sentence, heads, row = capsys.readouterr().out.splitlines()
    assert sentence == "0 wait without a date, 3 for announced goods"
    assert heads.split() == ["announced", "warehouse", "comes", "remaining", "claimed", "from"]
    assert row.split() == ["t-4", "york", "1970-01-01", "00:00:00", "UTC", "20", "3", "leeds"]
