"""Nothing is left to do later, and nothing of one machine is written down."""

import re

import pytest
from repository import ROOT, location, text_files, text_of

# Written apart, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
OF_ONE_MACHINE = re.compile(r"(?<![\w.~}])/(?:wo" r"rk|ho" r"me|ro" r"ot|Us" r"ers)/\w")
REGISTRIES = re.compile(r"py" r"pi\.org|python" r"hosted\.org|maven\." r"org|maven\.apache\." r"org/maven2")
PLACES_OF_PACKAGES = re.compile(r"^--(?:find-links|index-url|extra-index-url|trusted-host)", re.MULTILINE)


@pytest.mark.parametrize("pattern", [UNFINISHED, OF_ONE_MACHINE, REGISTRIES], ids=lambda pattern: pattern.pattern[:12])
def test_no_file_holds(pattern):
    found = [
        f"{location(path, text_of(path).count(chr(10), 0, match.start()) + 1)} {match.group()}"
        for path in text_files()
        for match in pattern.finditer(text_of(path))
    ]
    assert not found


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_packages_and_not_where_one_machine_found_them(lock):
    assert not PLACES_OF_PACKAGES.findall(text_of(ROOT / lock))
