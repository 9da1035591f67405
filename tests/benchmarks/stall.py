"""How long a checkpoint's hook keeps all ranks of a Megatron job waiting: in the background, and as `.wait()` does it.

`make bench` prints both, for a server that takes 2 s a request and for 20,000 files a checkpoint.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.environments import python_of
from tests.wandb_server import Fault, WandbServer

SAVES = Path(__file__).parent.parent / "integration" / "megatron" / "saves.py"
# What the server and the checkpoint are like: files a checkpoint, seconds that the server takes for a request, saves,
# and whether each takes the last for one of long ago: a save asks whether the last was looked at within a minute alone.
SITUATIONS = (
    ("a fast server, 2 files", 2, 0.0, 100, False),
    ("the same, more than a minute apart", 2, 0.0, 100, True),
    ("a server that takes 2 s a request", 2, 2.0, 3, False),
    ("20,000 files", 20_000, 0.0, 3, False),
)

# The hook's own time, save by save, written to a file.
SCRIPT = """\
import json, os, sys, time
from saves import call, write
files, saves, wait = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "wait"
writer = None
if wait:  # the original, which returns before the artifact is committed, and the wait that makes sure of it
    import wandb as writer
    run = writer.init()
    log_artifact = run.log_artifact
    run.log_artifact = lambda artifact, **kwargs: log_artifact(artifact, **kwargs).wait()

companion = sys.modules["_wandb_shim.script.channel"].current() if not wait else None
if companion:  # no job saves before its run is open
    companion.ask({"ask": "facts"}, 60)

def outstanding():
    rows = companion.ask({"ask": "status"}, 60)["checkpoints"]
    return len(rows) < step or any(row["state"] != "committed" for row in rows)

took = []
for step in range(1, saves + 1):
    path = f"ckpts/iter_{step:07d}"
    write(path, files)
    if "apart" in sys.argv:
        sys.modules["_wandb_shim.script.checkpoints"]._last_save = 0.0
    took.append(call(path, "ckpts", step, writer))
    # The next save comes when this one is done with, as in a job whose saves are minutes apart; with a slow server,
    # it does not wait for that.
    while sys.argv[4] == "patient" and not wait and outstanding():
        time.sleep(0.02)
json.dump(took, open("took.json", "w"))
"""


@dataclass(frozen=True, slots=True)
class Stall:
    """What the hook of one job took.

    Attributes:
        seconds: Save by save.
        committed: How many artifact versions the server has got.
    """

    seconds: tuple[float, ...]
    committed: int

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def slowest(self) -> float:
        """The 99th of a hundred."""
        return statistics.quantiles(self.seconds, n=100)[-1]


def measure(
    home: Path,
    environ: Mapping[str, str],
    scratch: Path,
    *,
    files: int = 2,
    saves: int = 5,
    wait: bool = False,
    per_request: float = 0,
    apart: bool = False,
) -> Stall:
    """Save checkpoints in a job of one's own, and read how long the hook took.

    Args:
        home: Where the shim lies.
        environ: Variables of a clean process.
        scratch: An empty directory.
        files: How many a checkpoint has.
        saves: How many checkpoints.
        wait: Whether to measure Megatron's own hook, with a wait for the commit, instead of ours.
        per_request: Seconds that the server takes for each request about artifacts.
        apart: Whether each save is to take the last one for one of long ago.
    """
    (scratch / "saves.py").write_text(SAVES.read_text())
    (scratch / "stall.py").write_text(SCRIPT)
    with WandbServer.start() as server:
        if per_request:
            server.set_fault(Fault("slow", match="Artifact", seconds=per_request))
        subprocess.run(
            [
                *(python_of("megatron"), "stall.py", str(files), str(saves)),
                *("wait" if wait else "background", "hurried" if per_request else "patient"),
                *(("apart",) if apart and not wait else ()),
            ],
            cwd=scratch,
            env={
                **environ,
                **server.environment(),
                "PYTHONPATH": str(home),
                "WANDB_PROJECT": "stall",
                "WANDB_SILENT": "true",
                "WANDB_SHIM_SKIP": "megatron_bridge" if wait else "",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=280,
        )
        done = [artifact for artifact in server.artifacts if artifact.state == "COMMITTED"]
    return Stall(tuple(json.loads((scratch / "took.json").read_text())), len(done))


def as_text(home: Path, environ: Mapping[str, str], scratch: Path) -> str:
    """Measure both ways side by side, and say it as Markdown: medians, and what one save of a hundred exceeds."""
    lines = ["| a save keeps all ranks waiting for, ms  | in background | 99th % | with `.wait()` |  ratio |"]
    lines.append("|-----------------------------------------|--------------:|-------:|---------------:|-------:|")
    for title, files, per_request, count, apart in SITUATIONS:
        stalls = []
        for saves, wait in ((count, False), (1, True)):
            place = scratch / f"{files}-{per_request}-{wait}-{apart}"
            place.mkdir(parents=True)
            stalls.append(
                measure(
                    *(home, environ, place),
                    files=files,
                    saves=saves,
                    wait=wait,
                    per_request=per_request,
                    apart=apart,
                )
            )
        ours, theirs = (1000 * each.median for each in stalls)
        slowest = f"{1000 * stalls[0].slowest:.2f}" if count >= 100 else ""
        ratio = f"1:{theirs / ours:.0f}"
        lines.append(f"| {title:39} | {ours:13.2f} | {slowest:>6} | {theirs:14.0f} | {ratio:>6} |")
    return "\n".join(lines)
