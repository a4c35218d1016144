"""A public class has one definition, and so has a function outside the command line, benchmarks and the audit."""

import ast
from collections import defaultdict

import pytest
from repository import ROOT, location, python_files, tree_of

# Defined more than once on purpose; whoever adds one says why here.
CLASSES = {
    "Inbound": "announced goods, for the core and for the model that is independent of it",
    "Job": "work that is handed out whole: of an import, and of an audit's processes",
    "Journal": "what a row had after each movement, for the core and for the model that is independent of it",
    "OpenTransaction": "an open transaction, with what a worker and `doctor` each need of it",
    "Placing": "where units come from, for the core and for the model that is independent of it",
    "Query": "the command of the wire, and the query string of a URL",
    "Queue": "those that wait for a SKU, for the core and for the model that is independent of it",
    "Record": "a record of the log, as the core and as the audit need it",
    "Refusal": "a rule's refusal, and what HTTP says of it",
    "Register": "what is in force, for the core and for the model that is independent of it",
    "Rule": "a rule of the core, and of the model that is independent of it",
    "Sent": "a command under way: `Sent` is the gateway's name for it in the OpenAPI document",
    "Stream": "a sequence of records that is followed or compared",
    "Supply": "announced goods, for reads and decisions and for the model that is independent of them",
    "UnreadBatch": "a batch that is not unpacked, for the worker and for the audit that is independent of it",
    "TooLargeError": "something is too large for its limit: what is sent, and what is unpacked",
}
FUNCTIONS = {"run": "the service of a module runs until it is stopped"}
# Each of these has functions under the names of others: the command line has one per command, a benchmark is named as
# every benchmark is, and the audit repeats the rules without using them.
OF_THEIR_OWN = ("ops/cli.py", "bench/", "audit/")
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def _defined(kinds, *, without=()):
    places = defaultdict(list)
    for path in python_files(shipped_only=True):
        if not str(path.relative_to(ROOT)).startswith(without):
            for node in tree_of(path).body:
                if isinstance(node, kinds) and not node.name.startswith("_"):
                    places[node.name].append(location(path, node.lineno))
    return {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize(
    ("kinds", "without", "allowed"),
    [(ast.ClassDef, (), CLASSES), (FUNCTION, OF_THEIR_OWN, FUNCTIONS)],
    ids=["classes", "functions"],
)
def test_a_public_name_is_defined_once_or_listed_with_a_reason(kinds, without, allowed):
    assert _defined(kinds, without=without).keys() == allowed.keys()
