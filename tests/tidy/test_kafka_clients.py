"""Every Kafka client of the shipped code connects as the settings say: it takes `**kafka_options()`."""

import ast

import pytest
from repository import location, python_files, tree_of

CLIENTS = {"AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConnection", "AIOKafkaConsumer", "AIOKafkaProducer"}
CLIENTS |= {"KafkaAdminClient", "KafkaConsumer", "KafkaProducer", "create_conn"}


def name_of(node):
    return {ast.Name: lambda: node.id, ast.Attribute: lambda: node.attr}.get(type(node), lambda: None)()


def annotations_in(tree):
    """Return the nodes that stand in annotations: they only name a type."""
    found = [getattr(node, field, None) for node in ast.walk(tree) for field in ("annotation", "returns")]
    return {id(inner) for node in found if node is not None for inner in ast.walk(node)}


def takes_the_options(call):
    starred = [keyword.value for keyword in call.keywords if keyword.arg is None]
    return any(isinstance(it, ast.Call) and name_of(it.func) == "kafka_options" for it in starred)


def clients_in(tree):
    """Return line and whether it takes the options of each place that makes a client, or hands its class on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (
                (node.lineno, False) for it in node.names if it.name in CLIENTS and it.asname not in {None, it.name}
            )
    annotated = annotations_in(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if name_of(node) in CLIENTS and id(node) not in annotated:
            call = calls.get(id(node))
            yield node.lineno, call is not None and takes_the_options(call)


def test_every_client_takes_the_options():
    found = [
        (location(path, line), ok) for path in python_files(shipped_only=True) for line, ok in clients_in(tree_of(path))
    ]
    assert not [where for where, ok in found if not ok]
    assert len(found) > 20


@pytest.mark.parametrize("code", [
    "AIOKafkaProducer(bootstrap_servers=b)",
    "aiokafka.AIOKafkaConsumer(bootstrap_servers=b, **others)",
    "partial(AIOKafkaClient, bootstrap_servers=b)(**kafka_options())",
    "from aiokafka import AIOKafkaProducer as P",
    "class Mine(AIOKafkaConsumer): pass",
])  # fmt: skip
def test_a_client_without_the_options_is_found(code):
    assert [ok for _, ok in clients_in(ast.parse(code)) if not ok]


@pytest.mark.parametrize("code", ["def f(x: AIOKafkaConsumer | None) -> AIOKafkaClient: ...",
                                  "AIOKafkaProducer(bootstrap_servers=b, **kafka_options())"])  # fmt: skip
def test_a_type_or_a_client_with_the_options_is_none(code):
    assert all(ok for _, ok in clients_in(ast.parse(code)))
