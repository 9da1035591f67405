"""Print what the shim costs the start of a process, the owner of a run and a checkpoint. `make bench`; eight minutes.

Time is measured side by side: every round starts each configuration once, in another order, and what is shown is the
median of the ratios within a round, so that a machine that is busy for a while disturbs all alike. Modules, file calls
and instructions are exact.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests import interpreters
from tests.benchmarks import counting, owner, places, stall
from tests.environments import PREFERRED_MINOR, environment_of

ROUNDS = 40
TRACKED = {"WANDB_PROJECT": "bench", "WANDB_API_KEY": "k" * 40}


@dataclass(frozen=True)
class Configuration:
    """One row.

    Attributes:
        name: What the reader sees.
        python: The interpreter.
        environ: Variables beside the usual ones.
        program: What it runs before it ends.
        slow: Whether it is so slow that a few rounds do.
    """

    name: str
    python: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    slow: bool = False


@dataclass(frozen=True)
class Row:
    """What was measured of one configuration; all but the ratio is over the first one."""

    name: str
    ratio: float
    milliseconds: float
    modules: int
    file_calls: int
    instructions: int


def configurations(baked: places.Baked, packages: Path) -> list[Configuration]:
    """The rows, the one that all others are compared with first."""
    path = {"PYTHONPATH": str(baked.home)}
    see_packages = f"import sys; sys.path.append({str(packages)!r}); import "
    return [
        Configuration("bare", baked.plain),
        Configuration("bare again (noise)", baked.plain),
        Configuration("shim idle, stdlib door", baked.python),
        Configuration("shim idle, PYTHONPATH door", baked.plain, path),
        Configuration("bare virtual environment", baked.venv_plain),
        Configuration("shim idle, .pth door in it", baked.venv_door),
        Configuration("shim off, stdlib door", baked.python, {"WANDB_SHIM": "off"}),
        Configuration("project set, not the owner", baked.python, TRACKED),
        Configuration("import wrapt", baked.plain, program=f"{see_packages}wrapt", slow=True),
        Configuration("import wandb", baked.plain, program=f"{see_packages}wandb", slow=True),
    ]


def seconds(configuration: Configuration, environ: Mapping[str, str]) -> float:
    """How long one start takes, from the call to the end of the process."""
    command = [str(configuration.python), "-c", configuration.program or "pass"]
    begin = time.perf_counter()
    pid = os.posix_spawn(command[0], command, {**environ, **configuration.environ})
    _, status = os.waitpid(pid, 0)
    end = time.perf_counter()
    if status:
        raise SystemExit(f"{configuration.name}: ended with {os.waitstatus_to_exitcode(status)}")
    return end - begin


def measure(table: list[Configuration], environ: Mapping[str, str], scratch: Path) -> list[Row]:
    """Measure all configurations; the first is what the others are compared with."""
    rounds: list[dict[str, float]] = []
    for number in range(-1, ROUNDS):
        chosen = [row for row in table if not row.slow or number % 8 == 0 or number < 0]
        random.Random(number).shuffle(chosen)
        times = {row.name: seconds(row, environ) for row in chosen}
        if number >= 0:  # the one before fills the caches of the machine
            rounds.append(times)
    starts, instructions = {}, {}
    for row in table:
        variables = {**environ, **row.environ}
        program = f"{row.program}\n{counting.PROBE}"
        starts[row.name] = counting.count_start([row.python, "-c", program], variables, scratch)
        instructions[row.name] = counting.count_instructions(
            [row.python, "-c", row.program or "pass"], variables, scratch
        )
    bare = table[0].name
    return [
        Row(
            row.name,
            statistics.median(times[row.name] / times[bare] for times in rounds if row.name in times),
            statistics.median(times[row.name] - times[bare] for times in rounds if row.name in times) * 1000,
            len(starts[row.name].modules) - len(starts[bare].modules),
            starts[row.name].file_calls - starts[bare].file_calls,
            instructions[row.name] - instructions[bare],
        )
        for row in table
    ]


def as_text(rows: list[Row]) -> str:
    """A table as Markdown, aligned for those who read it as it is."""
    head = ("start of `python -c pass`", "time", "+ ms", "+ modules", "+ file calls", "+ million instructions")
    body = [
        (
            row.name,
            f"×{row.ratio:.2f}",
            f"{row.milliseconds:.2f}",
            str(row.modules),
            str(row.file_calls),
            f"{row.instructions / 1e6:.2f}",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    first, *others = widths
    lines = []
    for name, *figures in (head, *body):
        cells = [name.ljust(first), *(figure.rjust(width) for figure, width in zip(figures, others, strict=True))]
        lines.append(f"| {' | '.join(cells)} |")
    rule = ["-" * (first + 2), *("-" * (width + 1) + ":" for width in others)]
    lines.insert(1, f"|{'|'.join(rule)}|")
    return "\n".join(lines)


def main() -> int:
    """Bake the preferred Python, measure, print."""
    found = interpreters.interpreters()
    minor = PREFERRED_MINOR if PREFERRED_MINOR in found else list(found)[-1]
    packages = environment_of(f"wandb-{minor}").site_packages
    with tempfile.TemporaryDirectory(prefix="wandb-shim-bench-") as directory:
        root = Path(directory)
        baked = places.baked(minor, root)
        (root / "scratch").mkdir()
        environ = {"PATH": os.defpath, "HOME": directory}
        rows = measure(configurations(baked, packages), environ, root / "scratch")
        owners = owner.as_text(baked.home, environ, root / "owner")
        stalls = stall.as_text(baked.home, environ, root / "stall")
    version = ".".join(map(str, found[minor].version))
    print(f"CPython {version}, {platform.machine()}, {os.cpu_count()} CPUs; medians of {ROUNDS} interleaved rounds\n")
    print(f"{as_text(rows)}\n\n{owners}\n\n{stalls}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
