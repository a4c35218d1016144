"""No module needs, directly or by way of others, a module that needs it, wherever in it the import stands."""

from repository import ROOT, imports_of, python_files


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circles_in(needs):
    """Find one circle for every module that is in one: the modules on the way back to it."""
    found = []
    for start in needs:
        ways = [[start]]
        seen = set()
        while ways:
            way = ways.pop()
            for module in needs[way[-1]]:
                if module == start:
                    found.append(way)
                elif module not in seen:
                    seen.add(module)
                    ways.append([*way, module])
    return found


def test_a_circle_is_found():
    assert circles_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circles_in({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_no_module_imports_itself_by_way_of_others():
    modules = {module_of(path): path for path in python_files(shipped_only=True)}
    # `from package import module` names both; a package is no module that needs anything by being named.
    needs = {
        module: {name for _, name in imports_of(path) if name in modules and name != module}
        for module, path in modules.items()
    }
    packages = {module for module, path in modules.items() if path.name == "__init__.py"}
    for module in needs:
        needs[module] -= packages
    assert not [" -> ".join(circle) for circle in circles_in(needs)]
