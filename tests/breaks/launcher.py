"""The launcher, and secrets."""

from __future__ import annotations

from tests.breaks.row import Break

BREAKS = (
    Break(
        "a key lies in no file of nemo-run",
        "launcher/environment.py",
        "for item in self.variables if item.name not in contract.SECRETS}",
        "for item in self.variables}",
        "tests/integration/test_launcher_local.py::test_a_local_task_is_one_run_and_its_key_lies_in_no_file[script-train.py-environment]",
    ),
    Break(
        "a container's inspection shows no key",
        "launcher/executors/docker.py",
        'return Delivery({contract.API_KEY_FILE: MOUNTED_FILE}, {"volumes": [*fields.get("volumes", ()), volume]})',
        "return Delivery({contract.API_KEY: cargo.key})",
        "tests/integration/test_launcher_docker.py::test_a_container_is_one_run_and_neither_inspection_nor_a_file_shows_its_key",
    ),
    Break(
        "a Slurm job's script and log have no key",
        "launcher/executors/slurm.py",
        'env = {contract.API_KEY_FILE: f"{own}/{FILE_NAME}"} if cargo.key else {}',
        "env = {contract.API_KEY: cargo.key}",
        "tests/integration/test_launcher_slurm.py::test_a_job_of_two_tasks_that_is_requeued_is_one_run_and_its_key_lies_nowhere",
    ),
    Break(
        "a requeued Slurm job finds its key again",
        "launcher/executors/slurm_key.sh",
        "&& ! wandb_shim_comes_back; then",
        "; then",
        "tests/integration/test_launcher_slurm.py::test_a_job_that_fails_twice_keeps_its_key_for_the_retry_and_no_longer",
    ),
    Break(
        "a Slurm job's key goes with it",
        "launcher/executors/slurm_key.sh",
        'then rm -rf -- "$wandb_shim_folder"; fi',
        "then true; fi",
        "tests/integration/test_launcher_slurm.py::test_a_job_that_is_cancelled_leaves_no_key",
    ),
    Break(
        "the key stays out of the job's environment",
        "shim/companion/opening.py",
        "settings.api_key = key",
        'settings.api_key = os.environ["WANDB_API_KEY"] = key',
        "tests/integration/test_launcher_docker.py::test_a_container_is_one_run_and_neither_inspection_nor_a_file_shows_its_key",
    ),
    Break(
        "a shell leaves values alone",
        "launcher/executors/base.py",
        "if value and NO_QUOTES_NEEDED.issuperset(value):",
        "if value:",
        "tests/integration/test_launcher_executors.py::test_slurm_exports_every_value_unchanged",
    ),
    Break(
        "nemo-run's templates leave values alone",
        "launcher/executors/base.py",
        'value.replace("$", "$$")',
        "value",
        "tests/integration/test_launcher_local.py::test_a_local_task_is_one_run_and_its_key_lies_in_no_file[script-train.py-environment]",
    ),
    Break(
        "a Ray driver may copy its variables into a runtime_env of its own",
        "launcher/ray.py",
        '**environment.public, OVERRIDE: "1"}',
        "**environment.public}",
        "tests/integration/test_launcher_ray.py::test_a_submitted_job_is_one_run_and_ray_never_shows_the_key",
    ),
    Break(
        "a key does not follow a redirect to another server",
        "shim/viewer.py",
        "[:2] != urlsplit(req.full_url)[:2]:",
        "[:2] == (1, 1):",
        "tests/unit/test_viewer.py::test_a_redirect_to_another_server_goes_without_the_key[302]",
    ),
    Break(
        "the key stays for the other jobs of its executor",
        "launcher/executors/slurm_key.sh",
        "&& ! wandb_shim_others_need_it; then",
        "; then",
        "tests/unit/test_launcher_secrets.py::test_jobs_of_one_executor_share_the_key_until_the_last_has_ended",
    ),
    Break(
        "a key with a line end is a key",
        "shim/login.py",
        "key = content.decode().strip()",
        "key = content.decode()",
        "tests/unit/test_preflight.py::test_a_key_file_is_read_without_its_newline",
    ),
)
