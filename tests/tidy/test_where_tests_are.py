"""A module has a test of its path and name (`ops/send.py`: `tests/ops/test_send*.py`), or is listed with a test."""

import ast
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from repository import ROOT, imports_in, imports_of, python_files, tree_of

# What each test covers beside the module of its name. A folder stands for those of its modules that have no test of
# their own and are not listed by themselves, and for those to come: one more rule is tested by what tests all rules.
COVERS = {
    "agents/test_fold.py": ["agents/batches.py"],
    "agents/test_local_store.py": ["agents/changelog.py", "agents/kafka/fetching.py", "agents/kafka/leaders.py"],
    "agents/test_partition_order.py": ["agents/config.py"],
    "agents/test_transaction_answers.py": ["agents/errors.py", "agents/kafka/codes.py"],
    "agents/kafka/test_unpacking.py": ["agents/kafka/private.py"],
    "agents/test_status.py": ["agents/lately.py", "schemas/status.py"],
    "fault/test_kill_at_every_step.py": ["agents/app.py", "agents/worker.py"],
    "fault/test_zombies_and_brokers.py": ["agents/placement.py", "agents/standby.py"],
    "ops/kafka/test_secure_cluster.py": [
        "ops/kafka/acls.py",
        "ops/kafka/certificates.py",
        "ops/kafka/files.py",
        "ops/kafka/rights.py",
        "ops/kafka/rights_check.py",
        "ops/kafka/security.py",
        "ops/kafka/start.py",
        "ops/kafka/trouble.py",
    ],
    "simulation/test_seeds.py": ["agents/transport.py"],
    "audit/test_checkpoint.py": ["audit/resume.py", "audit/comparison/digest.py"],
    "audit/test_model.py": ["audit/model/"],
    "audit/test_run.py": ["audit/problems.py"],
    "audit/test_unread_batches.py": ["audit/unpacking.py"],
    "audit/comparison/test_compare.py": [
        "audit/comparison/changes.py",
        "audit/comparison/formats.py",
        "audit/comparison/invariants.py",
        "audit/comparison/rows.py",
        "audit/comparison/streams.py",
    ],
    "audit/report/test_page.py": ["audit/report/html.py"],
    "audit/comparison/test_trimmed.py": ["audit/comparison/change_checks.py"],
    "bench/test_figures.py": [
        "bench/changelog.py",
        "bench/http_caller.py",
        "bench/load.py",
        "bench/open_loop.py",
        "bench/prober.py",
        "bench/report.py",
    ],
    "bench/test_quick_run.py": ["bench/"],
    "bench/test_sizes.py": ["bench/shop.py"],
    "gateway/test_dead_letters_over_kafka.py": ["gateway/dead_letters_routes.py"],
    "gateway/test_over_kafka.py": [
        "gateway/app.py",
        "gateway/reader.py",
        "gateway/requests.py",
    ],
    "gateway/streams/test_over_kafka_streams.py": ["gateway/streams/past.py"],
    "gateway/streams/test_ring.py": ["gateway/streams/events.py"],
    "gateway/streams/test_stream.py": ["gateway/streams/followers.py"],
    "gateway/streams/test_stream_routes.py": [
        "gateway/streams/limits.py",
        "gateway/streams/positions.py",
        "gateway/streams/routes.py",
        "gateway/streams/wanted.py",
    ],
    "gateway/test_endpoint.py": ["gateway/incoming.py", "gateway/replies.py"],
    "gateway/test_openapi.py": ["gateway/body_rules.py"],
    "gateway/test_page_files.py": ["gateway/docs/files.py"],
    "gateway/webhooks/test_delivery_over_kafka.py": [
        "gateway/webhooks/letters.py",
        "gateway/webhooks/line.py",
        "gateway/webhooks/marks.py",
        "gateway/webhooks/replay.py",
        "gateway/webhooks/serve.py",
        "gateway/webhooks/states.py",
        "gateway/webhooks/stored.py",
        "gateway/webhooks/wants.py",
    ],
    "gateway/test_process.py": ["gateway/config.py"],
    "gateway/test_recent_changes.py": ["gateway/recent_changes_routes.py"],
    "gateway/test_reference_routes.py": ["gateway/rules.py"],
    "gateway/test_route_table.py": ["gateway/parameters.py", "gateway/routes/"],
    "gateway/test_routes.py": [
        "gateway/availability_routes.py",
        "gateway/metrics.py",
        "gateway/operations.py",
    ],
    "gateway/test_skus.py": ["gateway/in_order.py"],
    "gateway/access/test_credential.py": ["gateway/access/scopes.py"],
    "gateway/test_status_document.py": ["gateway/status_routes.py"],
    "gateway/access/test_tokens.py": ["gateway/access/key_set.py"],
    "gateway/test_stopping.py": ["gateway/in_hand.py", "gateway/server.py"],
    "e2e/test_demo.py": ["ops/demo/drive.py", "ops/demo/report.py", "ops/demo/run.py"],
    "e2e/test_reference_data.py": ["ops/reference.py", "ops/reference_commands.py"],
    "ops/demo/test_http_times.py": ["ops/collector.py"],
    "ops/test_audit_command.py": ["ops/past_stock.py"],
    "ops/test_keys_commands.py": ["ops/access.py", "ops/keys.py"],
    "ops/test_cli.py": ["ops/broker_command.py", "ops/options.py", "ops/problems.py", "ops/shortfall_command.py"],
    "ops/test_processes.py": ["ops/child.py"],
    "ops/test_webhooks_commands.py": ["ops/service.py", "ops/webhooks.py"],
    "ops/test_send_tail_stock.py": ["ops/stock.py", "ops/tail.py"],
    "ops/importing/test_command.py": ["ops/exchange.py", "ops/importing/importer.py", "ops/importing/tally.py"],
    "ops/importing/test_order_lines.py": ["ops/importing/order_files.py"],
    "ops/importing/test_stock_command.py": ["ops/importing/stock_file.py"],
    "ops/importing/test_stock_lines.py": ["ops/importing/stock_cells.py"],
    "ops/reconciling/test_feed.py": ["ops/reconciling/command.py"],
    "ops/kafka/test_broker.py": ["ops/kafka/foreground.py", "ops/kafka/runtime.py"],
    "ops/kafka/test_doctor.py": ["ops/kafka/cluster.py"],
    "ops/kafka/test_topics.py": ["ops/kafka/topic_list.py", "schemas/topics.py"],
    "schemas/test_avro_schemas.py": ["schemas/commands.py", "schemas/results.py", "schemas/stock_changes.py"],
    "schemas/test_field_errors.py": ["schemas/fields.py", "schemas/inbound.py", "schemas/movements.py"],
    "tables/core/test_reconcile.py": ["tables/core/journal.py"],
    "tables/core/test_policies.py": ["schemas/availability.py", "schemas/policies.py"],
    "tables/core/test_reference.py": ["schemas/reference.py"],
    "schemas/test_codec.py": ["schemas/characters.py"],
    "tables/core/test_decide.py": ["schemas/codes.py", "tables/core/"],
}
COVERED = sorted({(test, entry) for test, entries in COVERS.items() for entry in entries})
MODULES = {
    path.relative_to(ROOT).as_posix(): path for path in python_files(shipped_only=True) if path.name != "__init__.py"
}
IMPORTED_AS = {name.removesuffix(".py").replace("/", "."): path for name, path in MODULES.items()}


@cache
def own_tests() -> dict[str, list[str]]:
    """Return each module's tests: `test_send_lines.py` is of `send_lines.py` if that exists, else of `send.py`."""
    tests = defaultdict(list)
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder, words = path.parent.relative_to(ROOT / "tests"), path.stem.split("_")[1:]
        for count in range(len(words), 0, -1):
            module = (folder / f"{'_'.join(words[:count])}.py").as_posix()
            if module in MODULES:
                tests[module].append(path.name)
                break
    return tests


def modules_of(entry: str) -> list[str]:
    """Return the modules for which an entry of the table stands."""
    if not entry.endswith("/"):
        return [entry]
    others = own_tests().keys() | {name for _, name in COVERED}
    return [name for name in MODULES if name.startswith(entry) and name not in others]


def programs_in(path: Path) -> Iterator[ast.Module]:
    """Return the Python programs that stand in a file as strings, to be run in processes of their own."""
    for text in strings_in(path):
        if "import " in text and "\n" in text:
            with contextlib.suppress(SyntaxError):
                yield ast.parse(text)


def strings_in(path: Path) -> set[str]:
    """Return the strings of a file."""
    constants = (node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


@cache
def named_in(path: Path) -> set[Path]:
    """Return the modules and the tests' helpers that a file imports, or starts as programs."""
    names = {module for _, module in imports_of(path)}
    names |= {module for program in programs_in(path) for _, module in imports_in(program) if module}
    # What `python -m` takes: a module, or a package with a `__main__`.
    names |= strings_in(path) | {f"{text}.__main__" for text in strings_in(path)}
    helpers = (ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith("tests."))
    return {IMPORTED_AS[name] for name in names & IMPORTED_AS.keys()} | {path for path in helpers if path.is_file()}


@cache
def reached_from(test: Path) -> set[Path]:
    """Return what a test, with the fixtures around it, imports or starts, directly or by way of others."""
    fixtures = [folder / "conftest.py" for folder in test.parents if folder.is_relative_to(ROOT / "tests")]
    waiting, reached = [test, *(path for path in fixtures if path.exists())], set()
    while waiting:
        new = named_in(waiting.pop()) - reached
        reached |= new
        waiting.extend(new)
    return reached


def test_two_tests_in_folders_that_are_no_packages_have_different_names():
    # pytest imports them by their names alone, so it would stop at the second one.
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if not (path.parent / "__init__.py").exists()]
    assert sorted(name for name in {*names} if names.count(name) > 1 and name != "conftest.py") == []


def test_every_module_has_a_test_of_its_name_or_is_listed():
    listed = {name for _, entry in COVERED for name in modules_of(entry)}
    assert sorted(MODULES.keys() - own_tests().keys() - listed) == []


@pytest.mark.parametrize(("test", "entry"), COVERED)
def test_what_is_listed_needs_it_and_its_test_reaches_it(test, entry):
    names = modules_of(entry)
    assert names, f"{entry} is no folder, or each of its modules has another test"
    assert [name for name in names if name not in MODULES] == [], "is no module"
    assert [name for name in names if name in own_tests()] == [], "has a test of its name"
    path = ROOT / "tests" / test
    assert path.is_file(), f"tests/{test} does not exist"
    reached = reached_from(path)
    assert [name for name in names if MODULES[name] not in reached] == [], f"tests/{test} does not reach it"
