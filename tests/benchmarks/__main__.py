"""Print what the shim costs the start of a process, the owner of a run and a checkpoint. `make bench`; some minutes.

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
from tests.benchmarks import counting, owner, places, roles, stall
from tests.environments import PREFERRED_MINOR, environment_of

ROUNDS = 24


@dataclass(frozen=True)
class Configuration:
    """One row.

    Attributes:
        name: What the reader sees.
        python: The interpreter.
        environ: Variables beside the usual ones.
        program: What it runs before it ends; without, it is an empty script.
        slow: Whether it is so slow that a few rounds do.
    """

    name: str
    python: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    slow: bool = False


@dataclass(frozen=True)
class Row:
    """What was measured of one configuration; all but the ratio is over the first one. No instructions: too many."""

    name: str
    ratio: float
    milliseconds: float
    modules: int
    file_calls: int
    instructions: int | None


def configurations(baked: places.Baked, packages: Path) -> list[Configuration]:
    """The rows, the one that all others are compared with first."""
    path = {"PYTHONPATH": str(baked.home)}
    see_packages = f"import sys; sys.path.append({str(packages)!r}); import "
    in_roles = {
        "rank 1": roles.RANK_1,
        "rank 1 of srun": roles.RANK_1_OF_SRUN,
        "below the owner": roles.BELOW_AN_OWNER,
        "below it, in a Slurm job": roles.BELOW_AN_OWNER_IN_A_JOB,
    }
    return [
        Configuration("bare", baked.plain),
        Configuration("bare again (noise)", baked.plain),
        Configuration("idle, stdlib door", baked.python),
        Configuration("idle, PYTHONPATH door", baked.plain, path),
        Configuration("bare virtual environment", baked.venv_plain),
        Configuration("idle, .pth door in it", baked.venv_door),
        Configuration("off, stdlib door", baked.python, {"WANDB_SHIM": "off"}),
        Configuration("a project, python -c", baked.python, roles.TRACKED, "pass"),
        *(
            Configuration(f"a project, {name}", baked.python, {**roles.TRACKED, **environ})
            for name, environ in in_roles.items()
        ),
        Configuration("import wrapt", baked.plain, program=f"{see_packages}wrapt", slow=True),
        Configuration("import wandb", baked.plain, program=f"{see_packages}wandb", slow=True),
    ]


def command(configuration: Configuration, scratch: Path, more: str = "") -> list[str]:
    """The words of a start; `more` is what it runs besides."""
    if configuration.program:
        return [str(configuration.python), "-c", f"{configuration.program}\n{more}"]
    script = scratch / ("more.py" if more else "train.py")
    script.write_text(more)
    return [str(configuration.python), str(script)]


def seconds(configuration: Configuration, environ: Mapping[str, str], scratch: Path) -> float:
    """How long one start takes, from the call to the end of the process."""
    words = command(configuration, scratch)
    begin = time.perf_counter()
    pid = os.posix_spawn(words[0], words, {**environ, **configuration.environ})
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
        times = {row.name: seconds(row, environ, scratch) for row in chosen}
        if number >= 0:  # the one before fills the caches of the machine
            rounds.append(times)
    starts = {}
    instructions: dict[str, int | None] = {}
    for row in table:
        variables = {**environ, **row.environ}
        starts[row.name] = counting.count_start(command(row, scratch, counting.PROBE), variables, scratch)
        # Each variable is read at the start, so the bare one has them, too.
        given = {name: value for name, value in variables.items() if name != "PYTHONPATH"}
        instructions[row.name] = (
            None
            if row.slow
            else (
                counting.count_instructions(command(row, scratch), variables, scratch)
                - counting.count_instructions(command(table[0], scratch), given, scratch)
            )
        )
    bare = table[0].name
    return [
        Row(
            row.name,
            statistics.median(times[row.name] / times[bare] for times in rounds if row.name in times),
            statistics.median(times[row.name] - times[bare] for times in rounds if row.name in times) * 1000,
            len(starts[row.name].modules) - len(starts[bare].modules),
            starts[row.name].file_calls - starts[bare].file_calls,
            instructions[row.name],
        )
        for row in table
    ]


def as_text(rows: list[Row]) -> str:
    """A table as Markdown, aligned for those who read it as it is."""
    head = ("start of an empty script", "time", "+ ms", "+ modules", "+ file calls", "+ M instructions")
    body = [
        (
            row.name,
            f"×{row.ratio:.2f}",
            f"{row.milliseconds:.2f}",
            str(row.modules),
            str(row.file_calls),
            "" if row.instructions is None else f"{row.instructions / 1e6:.2f}",
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
        version = ".".join(map(str, found[minor].version))
        print(
            f"CPython {version}, {platform.machine()}, {os.cpu_count()} CPUs; medians of {ROUNDS} interleaved rounds\n"
        )
        print(f"{as_text(measure(configurations(baked, packages), environ, root / 'scratch'))}\n", flush=True)
        print(f"{owner.as_text(baked.home, environ, root / 'owner')}\n", flush=True)
        print(stall.as_text(baked.home, environ, root / "stall"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
