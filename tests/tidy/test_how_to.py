"""The how-tos are true: their commands are commands, and their code does what the page says."""

import re

import pytest
from repository import ROOT, document

from schemas.codec import decode_command
from schemas.commands import SkuCommand

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/how-to").glob("*.md"))


def blocks_of(page, language):
    """Return the code blocks of a page in one language, without the indentation of the list they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", document(page), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands_in(page):
    return [line for block in blocks_of(page, "json") for line in block.splitlines()]


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands_in(page)])
def test_a_command_in_a_how_to_is_a_valid_command(page, line):
    command = decode_command(line.encode())
    assert isinstance(command, SkuCommand), f"{page}: {command}"


def test_the_normalising_code_gives_one_spelling_that_a_second_time_does_not_change():
    names = {}
    exec(blocks_of("docs/how-to/normalising-skus.md", "python")[0], names)  # noqa: S102 # the page's own code
    normalise = names["normalise"]
    spellings = ["st\u00fcck-1", "stu\u0308ck-1", " ST\u00dcCK-1\t", "Stu\u0308ck-1 "]
    assert {normalise(sku) for sku in spellings} == {"ST\u00dcCK-1"}
    assert normalise("x\u00b2") == "X\u00b2"
    assert all(normalise(normalise(sku)) == normalise(sku) for sku in [*spellings, "\u01f0", "\u0390"])
