"""Every command explains itself, says what to do when Kafka is away, and uses the exit codes that are written down."""

import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

from agents.app import instance_id
from agents.worker import lock_directory
from ops.cli import app
from ops.screen import print_table

COMMANDS = (
    "demo", "broker", "topics", "worker", "gateway",
    "send", "tail", "import", "import-stock", "stock", "backorders", "promise", "settle", "shortfalls", "policy",
    "reconcile", "audit", "doctor",
)  # fmt: skip
GROUPS = ("keys", "reference", "webhooks")


def test_the_commands_are_those_of_the_contract():
    assert sorted(get_command(app).commands) == sorted([*COMMANDS, *GROUPS])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(holdfast, command):
    result = holdfast(command, "--help")
    assert result.exit_code == 0
    assert "Example: " in result.stdout


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_every_option_is_explained(name):
    found = get_command(app).commands[name]
    for command in (found, *getattr(found, "commands", {}).values()):
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {command.name} {parameter.name}"


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_of_a_group_has_help(holdfast, group):
    for command in get_command(app).commands[group].commands.values():
        assert holdfast(group, command.name, "--help").exit_code == 0
        assert command.help, f"{group} {command.name}"


def test_help_comes_fast_because_nothing_is_imported_that_it_does_not_need():
    code = "import sys, ops.cli; print(*(name for name in sys.modules if name in {'aiokafka', 'faust', 'litestar'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics",),
        ("send",),
        ("tail", "results"),
        ("stock", "85123A"),
        ("backorders", "85123A"),
        ("promise", "85123A", "2", "--channel", "web"),
        ("settle",),
        ("shortfalls",),
        ("shortfalls", "85123A"),
        ("audit",),
    ],
    ids=" ".join,
)
def test_without_kafka_a_command_says_what_to_do(holdfast, nowhere, arguments):
    began = time.monotonic()
    result = holdfast(*arguments, "--bootstrap", nowhere, given="")
    assert result.exit_code == 2
    assert f"no Kafka answers at {nowhere}; start one with `holdfast broker` or set HOLDFAST_BOOTSTRAP" in result.stderr
    assert "Traceback" not in result.stderr
    assert time.monotonic() - began < 10


def test_without_kafka_an_import_says_what_to_do(holdfast, nowhere, tmp_path):
    file = tmp_path / "orders.csv"
    file.write_text("order_id,sku,quantity,ordered_at,country\n")
    result = holdfast("import", file, "--bootstrap", nowhere)
    assert result.exit_code == 2
    assert "no Kafka answers" in result.stderr


@pytest.mark.parametrize("address", ["", "kafka", "kafka:", "kafka:port", "kafka:9092,", ":9092"])
def test_an_address_that_is_none_is_refused(holdfast, address):
    result = holdfast("stock", "A", "--bootstrap", address)
    assert result.exit_code == 2
    assert "is no HOST:PORT" in result.stderr


def test_a_setting_may_come_from_the_environment(holdfast, nowhere, monkeypatch):
    monkeypatch.setenv("HOLDFAST_BOOTSTRAP", nowhere)
    assert f"no Kafka answers at {nowhere}" in holdfast("stock", "A").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_of_a_command_is_documented(command):
    settings = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    for parameter in get_command(app).commands[command].params:
        if parameter.envvar:
            assert f"| `{parameter.envvar}` | `{parameter.opts[0]}` |" in settings


def test_the_version_is_printed(holdfast):
    assert holdfast("--version").stdout.split() == ["holdfast", version("holdfast")]


@pytest.mark.parametrize("port", ["0", "65536", "99999", "9" * 30])
def test_a_port_that_no_machine_has_is_refused(holdfast, port):
    result = holdfast("stock", "A", "--bootstrap", f"127.0.0.1:{port}")
    assert result.exit_code == 2
    assert "is no HOST:PORT" in result.stderr


def test_what_stands_in_a_table_is_never_markup(capsys):
    print_table(("sku",), [("[/red]",), ("[bold]x[/bold]",)], title="[/red]")
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "[/red]", "sku", "[/red]", "[bold]x[/bold]",
    ]  # fmt: skip


def test_a_worker_says_which_directory_it_cannot_use(tmp_path):
    file = tmp_path / "afile"
    file.write_text("")
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker/server.properties").write_text("")
    for folder, sentence in {file / "x": "cannot be used", tmp_path / "broker": "is a broker's"}.items():
        with pytest.raises(RuntimeError, match=sentence):
            lock_directory(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x9f", b"two words", b"x" * 65])
def test_an_identity_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "instance-id").write_bytes(content)
    with pytest.raises(RuntimeError, match="holds no identity of a worker"):
        instance_id(tmp_path)
