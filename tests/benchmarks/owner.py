"""What the shim costs the process that owns the run, beside the same program without it and with its own `wandb.init`.

`make bench` prints it. Each round runs the three side by side against the double of the W&B API; medians are shown.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.environments import python_of
from tests.wandb_server import WandbServer

ROUNDS = 5
RANKS = (64, 256)

# Programs tell their figure through a file. BEGIN stands for the script's own `wandb.init`, where it has one.
_TELL = "open('figure', 'w').write(str({figure}))\n"
_LOOP = "begin = time.monotonic()\nfor step in range({count}):\n    {body}\n" + _TELL.format(
    figure="time.monotonic() - begin"
)
_PRINT = "print('step', step, 'loss', 1 / (step + 1))"
PROGRAMS = {
    "from exec to the first line": "import os, time\nBEGIN\n"
    + _TELL.format(figure="time.monotonic() - float(os.environ['STARTED'])"),
    "a script of three lines, start to end": "BEGIN\nprint('trained')\n",
    "10,000 prints": "import time\nBEGIN\n" + _LOOP.format(count=10_000, body=_PRINT),
    "100,000 prints": "import time\nBEGIN\n" + _LOOP.format(count=100_000, body=_PRINT),
    "20,000 wandb.log": "import time, wandb\nwandb.init()\n"
    + _LOOP.format(count=20_000, body="wandb.log({'x': step})"),
}

# Those that are not measured with the script's own init: that takes minutes, or the program has one anyway.
WITHOUT_NATIVE = {"100,000 prints", "20,000 wandb.log"}


def seconds(program: str, environ: Mapping[str, str], scratch: Path) -> float:
    """The figure of one program; where it tells none, how long it took."""
    (scratch / "train.py").write_text(program)
    (scratch / "figure").unlink(missing_ok=True)
    began = time.monotonic()
    with (scratch / "stdout").open("w") as stdout:
        subprocess.run(
            [python_of("wandb-3.12"), "train.py"],
            cwd=scratch,
            env={**environ, "STARTED": str(began)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=600,
        )
    took = time.monotonic() - began
    figure = scratch / "figure"
    return float(figure.read_text()) if figure.exists() else took


def ranks_at_once(count: int, environ: Mapping[str, str], scratch: Path) -> float:
    """Seconds that so many ranks of one node take together, from the first one's start to the last one's end."""
    (scratch / "train.py").write_text("pass\n")
    command = [str(python_of("wandb-3.12")), "train.py"]
    began = time.monotonic()
    ranks = [
        subprocess.Popen(
            command,
            cwd=scratch,
            env={**environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(1, count)  # rank 0 waits for its run at the end: it is the row of three lines
    ]
    for rank in ranks:
        rank.wait()
    return time.monotonic() - began


def as_text(home: Path, environ: Mapping[str, str], scratch: Path) -> str:
    """Measure, and say it as Markdown."""
    scratch.mkdir(parents=True)
    lines = ["| the process that owns the run          |  without |   with the shim | its own `wandb.init` |"]
    lines.append("|----------------------------------------|---------:|----------------:|---------------------:|")
    with WandbServer.start() as server:
        usual = {**environ, **server.environment(), "WANDB_PROJECT": "bench", "WANDB_SILENT": "true"}
        shim = {**usual, "PYTHONPATH": str(home)}
        for title, program in PROGRAMS.items():
            without, native = program.replace("BEGIN\n", "\n"), program.replace("BEGIN", "import wandb\nwandb.init()")
            rounds = []
            for _ in range(ROUNDS):
                plain = seconds(without, usual, scratch)
                figures = [plain, seconds(without, shim, scratch)]
                rounds.append(figures if title in WITHOUT_NATIVE else [*figures, seconds(native, usual, scratch)])
            lines.append(_row(title, *(statistics.median(column) for column in zip(*rounds, strict=True))))
        for count in RANKS:
            medians = (
                statistics.median(ranks_at_once(count, variables, scratch) for _ in range(3))
                for variables in (usual, shim)
            )
            lines.append(_row(f"{count} ranks at once, all but the owner", *medians))
    return "\n".join(lines)


def _row(title: str, base: float, ours: float, theirs: float | None = None) -> str:
    cells = [f"{1000 * base:.0f} ms"]
    cells += ["" if each is None else f"{1000 * each:.0f} ms ×{each / base:.2f}" for each in (ours, theirs)]
    return f"| {title:38} | {cells[0]:>8} | {cells[1]:>15} | {cells[2]:>20} |"
