"""Writes the rights that the code knows into the page on securing Kafka: a table, and commands of Kafka's own tool."""

from ops.kafka.rights import CLUSTER, ROLES
from tests.tidy.repository import ROOT, document

PAGE = "docs/how-to/secure-kafka.md"
FLAGS = {"topic": "--topic", "group": "--group", "transactional-id": "--transactional-id"}


def by_operations(role):
    """Return the resources of a role in the order of its rights, those with the same operations together."""
    operations = {}
    for operation, kind, name in role.rights:
        operations.setdefault((kind, name), []).append(operation)
    found = {}
    for (kind, name), of in operations.items():
        found.setdefault((kind, name.endswith("*"), tuple(of)), []).append(name)
    return found


def row(name, role):
    """Return a role's row of the table."""
    cells = []
    for (kind, _, operations), names in by_operations(role).items():
        on = "the cluster" if kind == CLUSTER else f"{kind.replace('-', ' ')} " + ", ".join(f"`{it}`" for it in names)
        cells.append(f"{', '.join(operations)}: {on}")
    return f"| `{name}` | {role.who} | {'<br>'.join(cells)} |"


def commands(name, role):
    """Return the commands that give a role its rights."""
    for (kind, is_prefix, operations), names in by_operations(role).items():
        words = [f"--add --allow-principal User:{name}", *(f"--operation {it}" for it in operations)]
        words += ["--resource-pattern-type prefixed"] if is_prefix else []
        words += ["--cluster"] if kind == CLUSTER else [f"{FLAGS[kind]} {it.removesuffix('*')}" for it in names]
        yield "$ACLS " + " ".join(words)


def written(page):
    """Return the page with the rights as they are now; a new role needs its first row and command by hand."""
    lines, done = [], set()
    for line in page.splitlines():
        of_row = [name for name in ROLES if line.startswith(f"| `{name}` |")]
        of_command = [name for name in ROLES if line.startswith("$ACLS") and f"User:{name} " in line]
        if of_row:
            lines.append(row(of_row[0], ROLES[of_row[0]]))
        elif of_command:
            lines += [] if of_command[0] in done else commands(of_command[0], ROLES[of_command[0]])
            done.update(of_command)
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / PAGE).write_text(written(document(PAGE)))
