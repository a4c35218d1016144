"""A pytest plugin for runs of mutants: the first example that fails is enough, nobody reads the smallest one."""

from hypothesis import Phase, settings


def pytest_configure():
    # After conftest.py has chosen its profile, before any test module is imported.
    settings.register_profile("mutants", settings(), phases=[Phase.explicit, Phase.generate], database=None)
    settings.load_profile("mutants")
