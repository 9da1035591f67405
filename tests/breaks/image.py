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
    Break(
        "as a container's init the shim waits for the run of the command",
        "shim/init.py",
        'and (ended == float("inf") or _companions()):',
        'and ended == float("inf"):',
        "tests/integration/test_shim_run.py::test_the_run_is_finished_before_the_container_ends[os._exit(5)-5]",
    ),
    Break(
        "the short way at the start says what the tables would say",
        "shim/sitecustomize.py",
        'get("WANDB_SHIM_OWNER") or get("WANDB_SHIM_NODES") or get("WANDB_SHIM_TRAINS"):',
        'get("WANDB_SHIM_TRAINS"):',
        "tests/unit/test_fast_path.py::test_whoever_leaves_at_once_would_not_have_got_a_run",
    ),
    Break(
        "an API key with white space around it is taken without",
        "shim/companion/surroundings.py",
        "os.environ[environment.API_KEY] = key.strip()",
        "pass",
        "tests/integration/test_failures.py::test_a_key_with_white_space_around_it_is_taken_without",
    ),
    Break(
        "what wandb refuses is taken away, and the run kept offline",
        "shim/companion/opening.py",
        "        surroundings.reduce_to_the_harmless()\n",
        "",
        "tests/integration/test_fault_table.py::test_the_script_runs_and_one_line_says_what_is_wrong"
        "[a file in place of wandb/-wandb-0.19.11]",
    ),
    Break(
        "no example has a key in it",
        "examples/slurm/job.sbatch",
        'export WANDB_API_KEY_FILE="$HOME/.wandb-key"',
        'export WANDB_API_KEY="$(cat "$HOME/.wandb-key")"',
        "tests/unit/test_examples.py::test_the_key_is_in_a_file_and_never_a_value[slurm/job.sbatch]",
    ),
    Break(
        "Kubernetes knows the fields of an example",
        "examples/kubernetes/job.yaml",
        "backoffLimit",
        "backOffLimit",
        "tests/integration/test_examples.py::test_kubernetes_knows_every_field",
    ),
    Break(
        "the next pod of a Kubernetes job goes on in its run",
        "examples/kubernetes/job.yaml",
        "name: KUBERNETES_JOB_UID",
        "name: KUBERNETES_JOB",
        "tests/integration/docker/test_examples.py::test_the_next_pod_of_a_kubernetes_job_goes_on_in_its_run",
    ),
)
