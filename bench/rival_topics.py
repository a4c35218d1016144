"""Owns the names of the plain Faust app's topics; not in the app, because an import of Faust changes the loop."""


def topic_names(name: str) -> tuple[str, str, str]:
    """Return the topics of an app of this name: commands, results, stock changes."""
    return f"{name}-commands", f"{name}-results", f"{name}-stock-changes"


def changelog_names(name: str) -> tuple[str, str]:
    """Return the topics behind its tables, as Faust names them: stock, reservations."""
    return f"{name}-stock-changelog", f"{name}-reservations-changelog"
