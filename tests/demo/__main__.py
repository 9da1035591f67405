"""Bake the shim into a virtual environment, run two programs that never mention W&B, show what W&B received.

No account and no network but the package registry: the W&B server is the test double of this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.environments import REPOSITORY, borrowing_environment, environment_of
from tests.wandb_server import WandbServer
from tests.wandb_server.records import Run

# Third-party: nobody here wrote it, and it is not a training script of the usual kind either. It logs to stderr.
WORD2VEC = ("-m", "gensim.scripts.word2vec_standalone", "-train", "news.txt", "-output", "vectors.txt", "-threads", "1")
DIGITS = ("digits.py", "--epochs", "5", "--lr", "0.02")


def main() -> int:
    """Run the demo; 0 if everything that it promises came true."""
    with tempfile.TemporaryDirectory(prefix="wandb-shim-demo-") as scratch, WandbServer.start() as server:
        job = Path(scratch) / "job"
        job.mkdir()
        python = _bake(Path(scratch) / "venv")
        shutil.copyfile(Path(__file__).with_name("digits.py"), job / "digits.py")
        shutil.copyfile(_corpus(), job / "news.txt")

        environ = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "PYTHON"))}
        environ |= {**server.environment(), "WANDB_PROJECT": "demo", "WANDB_ENTITY": "acme"}
        environ |= {"HOME": scratch, "WANDB_X_STATS_SAMPLING_INTERVAL": "0.5"}
        good = True
        for command in (DIGITS, WORD2VEC):
            good &= _compare(python, command, job, environ, server)
    print("\nEverything as promised." if good else "\nThat is NOT what was promised.")
    return 0 if good else 1


def _bake(directory: Path) -> Path:
    environment = environment_of("demo")
    python = borrowing_environment(environment.base.executable, directory, packages_of="demo")
    command = [sys.executable, "-m", "shim", "install", "--python", str(python)]
    print(f"$ python -m shim install --python {python}")
    subprocess.run(command, cwd=REPOSITORY, check=True)
    return python


def _corpus() -> Path:
    """News of the Australian Broadcasting Corporation, 2000 to 2002: a text that gensim ships for its own tests."""
    packages = environment_of("demo").site_packages
    return packages / "gensim" / "test" / "test_data" / "lee_background.cor"


def _compare(python: Path, command: Sequence[str], job: Path, environ: dict[str, str], server: WandbServer) -> bool:
    """Run a program with the shim and without, and say what is the same and what W&B has."""
    print(f"\n$ python {' '.join(command)}")
    known = len(server.runs)
    tracked = subprocess.run([str(python), *command], cwd=job, env=environ, stdout=subprocess.PIPE, check=False)
    plain = subprocess.run(
        [str(python), *command],
        cwd=job,
        env={**environ, "WANDB_SHIM": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    same = tracked.stdout == plain.stdout and tracked.returncode == plain.returncode
    runs = server.runs[known:]
    print(
        f"  stdout with and without the shim: {'byte-identical' if same else 'DIFFERENT'} ({len(plain.stdout)} bytes)"
    )
    print(f"  runs opened: {len(runs)} with the shim, 0 without" if len(runs) == 1 else f"  runs opened: {len(runs)}")
    for run in runs:
        _show(run)
    return same and len(runs) == 1 and _is_whole(runs[0], metrics=command is DIGITS)


def _is_whole(run: Run, *, metrics: bool) -> bool:
    """Whether a run has all that is promised; metrics where the program has more than words for them."""
    told = bool(run.events) and bool(run.config.get("args")) and bool(run.history or not metrics)
    return run.state == "finished" and told


def _show(run: Run) -> None:
    console = run.console_text().splitlines()
    figures = sorted({name for row in run.events for name in row if name.startswith("system.")})
    rows = {
        "run": f"{run.entity}/{run.project}/{run.id} ({run.display_name})",
        "program": run.metadata.get("program"),
        "arguments": run.metadata.get("args"),
        "config": ", ".join(f"{name}={value}" for name, value in run.config.get("args", {}).items()) or "nothing",
        "metrics": _metrics(run),
        "state": f"{run.state}, exit code {run.exit_code}",
        "console": f"{len(console)} lines, the last: {console[-1].strip()[:70]}" if console else "nothing",
        "system": f"{len(run.events)} samples of {len(figures)} figures, among them {', '.join(figures[:3])}",
        "files": ", ".join(sorted(run.files)),
    }
    for name, value in rows.items():
        print(f"  W&B has  {name:<10} {value}")


def _metrics(run: Run) -> str:
    names = sorted({name for row in run.history for name in row if not name.startswith("_")})
    return f"{len(run.history)} rows of {', '.join(names)}" if names else "nothing: it only prints"


if __name__ == "__main__":
    sys.exit(main())
