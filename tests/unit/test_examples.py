"""The files of examples/ as they stand: found from the docs, without a key, and free of faults that a tool knows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FILES = sorted(path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*/*"))
# Apptainer's: pkg/build/types/parser/deffile.go, validHeaders and validSections.
HEADERS = {"bootstrap", "from", "registry", "namespace", "stage", "includecmd", "fingerprints"}
SECTIONS = {"help", "setup", "files", "labels", "environment", "pre", "post", "runscript", "test", "startscript"}


def text_of(file: Path) -> str:
    return (EXAMPLES / file).read_text(encoding="utf-8")


def definition() -> tuple[dict[str, str], dict[str, str]]:
    """Headers and sections of Apptainer's definition file."""
    head, *rest = re.split(r"^%(\w+)\n", text_of(Path("apptainer/job.def")), flags=re.MULTILINE)
    headers = dict(re.findall(r"^(\w+): (.+)$", re.sub("^#.*$", "", head, flags=re.MULTILINE), re.MULTILINE))
    return headers, dict(zip(rest[::2], rest[1::2], strict=True))


def shell_scripts() -> dict[str, str]:
    scripts = {str(file): text_of(file) for file in FILES if file.suffix in (".sh", ".sbatch")}
    _, sections = definition()
    run = yaml.safe_load(text_of(Path("skypilot/task.yaml")))["run"]
    return {
        **scripts,
        "apptainer/job.def": "#!/bin/sh\n" + sections["post"],
        "skypilot/task.yaml": "#!/bin/bash\n" + run,
    }


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_pages_lead_to_each_file(file: Path) -> None:
    assert f"]({file})" in text_of(Path("README.md"))
    assert f"](../examples/{file})" in (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_key_is_in_a_file_and_never_a_value(file: Path) -> None:
    text = text_of(file)
    assert "WANDB_API_KEY_FILE" in text
    for harmless in ("WANDB_API_KEY_FILE", "/WANDB_API_KEY", '--from-file=WANDB_API_KEY="$HOME/.wandb-key"'):
        text = text.replace(harmless, "")
    assert "WANDB_API_KEY" not in text


@pytest.mark.parametrize("name", shell_scripts())
def test_no_script_has_a_fault_that_shellcheck_knows(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(shell_scripts()[name])
    tool = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([tool, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_apptainers_file_has_the_headers_and_sections_that_there_are() -> None:
    headers, sections = definition()
    assert {name.lower() for name in headers} <= HEADERS
    assert headers["Bootstrap"] == "docker"
    assert sections.keys() <= SECTIONS
    assert sections.keys() >= {"files", "post", "environment"}


def test_scripts_to_start_can_be_started() -> None:
    assert not [file for file in FILES if file.suffix == ".sh" and not (EXAMPLES / file).stat().st_mode & 0o100]
