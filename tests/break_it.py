"""Break the code, one rule at a time, and see a test fail: `make break`.

A test that cannot fail is a defect. Each row takes one rule out of a copy of the repository and names a test that must
notice. The copy shares the environments of this clone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests import turns
from tests.breaks import BREAKS
from tests.breaks.row import Break
from tests.environments import CACHE, REPOSITORY


def fails_when_broken(row: Break) -> str:
    """Run the row's test in a broken copy; the empty string if it fails there as it must, else what happened."""
    with tempfile.TemporaryDirectory(prefix="wandb-shim-broken-") as scratch:
        copy = Path(scratch) / "repository"
        ignore = shutil.ignore_patterns(".git", ".cache", ".venv", "__pycache__", ".*_cache")
        shutil.copytree(REPOSITORY, copy, ignore=ignore)
        (copy / CACHE.name).symlink_to(CACHE)
        source = copy / row.file
        text = source.read_text(encoding="utf-8")
        if text.count(row.code) != 1:
            return f"{row.file} has {text.count(row.code)} times: {row.code!r}"
        source.write_text(text.replace(row.code, row.instead), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", row.test]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        environ[turns.MATRIX] = "1"  # whichever test is named, it is its turn
        done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, check=False)
    if done.returncode == 1 and " failed" in done.stdout:
        return ""
    return f"{row.test} ended with {done.returncode} although the rule is gone:\n{done.stdout[-2000:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Break each rule, or those whose name contains a word."""
    parser = argparse.ArgumentParser(prog="python -m tests.break_it", description=main.__doc__)
    parser.add_argument("word", nargs="?", default="", help="only rules with this word")
    word = parser.parse_args(arguments).word
    bad = 0
    for row in BREAKS:
        if word in row.rule:
            problem = fails_when_broken(row)
            bad += bool(problem)
            print(f"{'NOT NOTICED' if problem else 'noticed':<12} {row.rule}  [{row.test}]", flush=True)
            if problem:
                print(problem, flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
