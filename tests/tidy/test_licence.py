"""The repository says under which licence it stands, and says the same everywhere."""

import hashlib
import tomllib

from repository import ROOT, document, text_of

# The text as the Apache Software Foundation publishes it, to the byte.
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_licence_is_the_apache_licence_word_for_word():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


def test_the_package_and_the_readme_name_the_licence():
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "[LICENSE](LICENSE)" in document("README.md")
