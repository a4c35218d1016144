"""What people see: tables, whose texts come from data."""

import pytest

from ops.screen import print_rich, print_table


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
