"""What aiokafka keeps to itself is read in known places only (ADR 0006)."""

from repository import ROOT, imports_of, python_files, text_of

READS_PRIVATE_STATE = {"agents/kafka/private.py", "gateway/reader.py"}
# ruff (SLF001) refuses a private attribute of another object wherever a line does not say that it may.
MARK = "noqa: SLF001"


def shipped():
    return [(path.relative_to(ROOT).as_posix(), path) for path in python_files(shipped_only=True)]


def test_private_attributes_are_read_in_known_files_only():
    assert {name for name, path in shipped() if MARK in text_of(path)} <= READS_PRIVATE_STATE


def test_only_the_adapter_builds_on_the_parts_of_aiokafkas_fetcher():
    using = {
        name for name, path in shipped() for _, module in imports_of(path) if module == "aiokafka.consumer.fetcher"
    }
    agents = {name for name in using if name.startswith("agents/")}
    assert agents == {"agents/kafka/private.py"}
