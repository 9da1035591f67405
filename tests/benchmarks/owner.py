"""What the shim costs the process that owns the run, beside the same program without it and with its own `wandb.init`.

`make bench` prints it. Each round runs the three side by side against the double of the W&B API; what is shown are
medians, of the time and of the ratios within a round.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks import counting
from tests.environments import python_of
from tests.wandb_server import WandbServer

ROUNDS = 3
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
    "1,000 prints": "import time\nBEGIN\n" + _LOOP.format(count=1000, body=_PRINT),
    "10,000 prints": "import time\nBEGIN\n" + _LOOP.format(count=10_000, body=_PRINT),
    "100,000 prints": "import time\nBEGIN\n" + _LOOP.format(count=100_000, body=_PRINT),
    "20,000 wandb.log": "import time, wandb\nwandb.init()\n"
    + _LOOP.format(count=20_000, body="wandb.log({'x': step})"),
}

# Those that are not measured with the script's own init: the program has one anyway, or it takes many minutes, since
# each write is a message there and what asyncio keeps of them is counted anew at each (get_write_buffer_size).
WITHOUT_NATIVE = {"10,000 prints", "100,000 prints", "20,000 wandb.log"}

# Ends at its first line.
FIRST_LINE = "import os\nBEGIN\nos._exit(0)\n"


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


def instructions(home: Path, environ: Mapping[str, str], scratch: Path) -> list[int]:
    """Of the script's process to its first line, offline: without the shim, with it, and with its own init."""
    offline = {**environ, "WANDB_PROJECT": "bench", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    offline |= {"WANDB__SERVICE_WAIT": "300", "WANDB_X_SERVICE_WAIT": "300"}  # callgrind is slow
    plain, native = FIRST_LINE.replace("BEGIN\n", ""), FIRST_LINE.replace("BEGIN", "import wandb\nwandb.init()")
    found = []
    for text, more in ((plain, {}), (plain, {"PYTHONPATH": str(home)}), (native, {})):
        (scratch / "train.py").write_text(text)
        words = (python_of("wandb-3.12"), "train.py")
        found.append(counting.count_instructions(words, {**offline, **more}, scratch))
    return found


def as_text(home: Path, environ: Mapping[str, str], scratch: Path) -> str:
    """Measure, and say it as Markdown."""
    scratch.mkdir(parents=True)
    lines = ["| the process that owns the run          |  without |   with the shim | its own `wandb.init` |"]
    lines.append("|----------------------------------------|---------:|----------------:|---------------------:|")
    bare, *others = instructions(home, environ, scratch)
    cells = [f"{bare / 1e6:.0f} M", *(f"{each / 1e6:.0f} M ×{each / bare:.2f}" for each in others)]
    lines.append(_line("instructions to the first line", cells))
    with WandbServer.start() as server:
        usual = {**environ, **server.environment(), "WANDB_PROJECT": "bench", "WANDB_SILENT": "true"}
        shim = {**usual, "PYTHONPATH": str(home)}
        for title, program in PROGRAMS.items():
            without, native = program.replace("BEGIN\n", "\n"), program.replace("BEGIN", "import wandb\nwandb.init()")
            rounds = []
            for _ in range(ROUNDS):
                figures = [seconds(without, usual, scratch), seconds(without, shim, scratch)]
                rounds.append(figures if title in WITHOUT_NATIVE else [*figures, seconds(native, usual, scratch)])
            lines.append(_row(title, rounds))
        for count in RANKS:
            rounds = [[ranks_at_once(count, each, scratch) for each in (usual, shim)] for _ in range(ROUNDS)]
            lines.append(_row(f"{count} ranks at once, all but the owner", rounds))
    return "\n".join(lines)


def _row(title: str, rounds: list[list[float]]) -> str:
    base = statistics.median(figures[0] for figures in rounds)
    cells = [f"{1000 * base:.0f} ms"]
    for column in range(1, len(rounds[0])):
        ratio = statistics.median(figures[column] / figures[0] for figures in rounds)
        cells.append(f"{1000 * statistics.median(figures[column] for figures in rounds):.0f} ms ×{ratio:.2f}")
    return _line(title, cells)


def _line(title: str, cells: list[str]) -> str:
    cells = [*cells, *[""] * (3 - len(cells))]
    return f"| {title:38} | {cells[0]:>8} | {cells[1]:>15} | {cells[2]:>20} |"
