"""The image and what bakes it."""

from __future__ import annotations

from tests.breaks.row import Break

BREAKS = (
    Break(
        "as PID 1 a job ends at SIGTERM",
        "shim/script/end.py",
        "if self._channel.pid == 1:",
        "if False:",
        "tests/integration/docker/test_places.py::test_docker_stop_ends_the_run_with_143",
    ),
    Break(
        "an interpreter of the image has a door of its own",
        "docker/Dockerfile",
        "-m shim install --all --home /opt/wandb-shim",
        "-m shim install --home-only --home /opt/wandb-shim",
        "tests/integration/docker/test_places.py::test_a_script_is_one_run[isolated]",
    ),
    Break(
        "a user without a home is tracked",
        "shim/companion/surroundings.py",
        "    home_directory.replace_missing(os.environ)\n",
        "",
        "tests/integration/docker/test_places.py::test_a_script_is_one_run[a user without a home]",
    ),
)
