"""Opens pages in a real browser: Debian's chromium, headless. Where there is none, tests that need it are skipped."""

import shutil
import subprocess
from pathlib import Path

import pytest

_NO_NETWORK = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")
_SCRIPTS_MS = 10_000  # of the page's own clock, which runs as fast as it can


def dom_of(url: str, profile: Path, *, width: int = 800) -> str:
    """Return a page's document as it stands when its scripts are done.

    Args:
        url: the page; `http:` or `file:`.
        profile: an empty directory for the browser.
        width: of the window, in CSS pixels.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        # What is on the pages is tested without it too; only that a browser makes of them what was meant is not.
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    command = [
        browser,
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *_NO_NETWORK),
        f"--user-data-dir={profile}",
        f"--window-size={width},600",
        f"--virtual-time-budget={_SCRIPTS_MS}",
        "--dump-dom",
        url,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
