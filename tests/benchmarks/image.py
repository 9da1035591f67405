"""What baking costs an image: bytes, the time of the build, and the start of a process in a container.

`python -m tests.engine -- python -m tests.benchmarks.image`, or `make bench`. The base and the baked image take turns,
and what is shown is the median of the ratios of neighbours.
"""

from __future__ import annotations

import statistics
import time

from tests import containers
from tests.containers import run_docker

ROUNDS = 7

# The median time of a start, in milliseconds, of the interpreter that a job would have.
STARTS = """\
import os, statistics, time
took = []
for _ in range(30):
    start = time.perf_counter()
    os.waitpid(os.posix_spawn("/usr/bin/python3", ["python3", "-c", "pass"], os.environ), 0)
    took.append(time.perf_counter() - start)
print(1000 * statistics.median(took))
"""


def start_of(image: str) -> float:
    """Milliseconds that `python3 -c pass` takes in a container of an image, in a tracked job's environment."""
    words = ("run", "--rm", "--env", "WANDB_PROJECT=bench", image, "python3", "-c", STARTS)
    return float(run_docker(*words).stdout)


def size_of(image: str) -> int:
    """Bytes of an image's layers."""
    return int(run_docker("image", "inspect", "--format", "{{.Size}}", image).stdout)


def main() -> None:
    """Print three figures."""
    base = containers.base_image()
    baked = "wandb-shim-bench:latest"
    begin = time.monotonic()
    containers.bake(base, baked, strict=False)
    built = time.monotonic() - begin
    try:
        pairs = [(start_of(baked), start_of(base)) for _ in range(ROUNDS)]
        ratio = statistics.median(with_shim / without for with_shim, without in pairs)
        plain = statistics.median(without for _, without in pairs)
        print(f"image: {(size_of(baked) - size_of(base)) / 1000:,.0f} kB added in {built:.1f} s")
        print(f"image: a start in a container takes {ratio:.3f} of its time without the shim ({plain:.1f} ms)")
    finally:
        run_docker("rmi", baked, check=False)


if __name__ == "__main__":
    main()
