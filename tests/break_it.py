"""Break the code, one rule at a time, and see a test fail: `make break`.

A test that cannot fail is a defect. Each row takes one rule out of a copy of the repository and names a test that must
notice. The copy shares the environments of this clone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.environments import CACHE, REPOSITORY


@dataclass(frozen=True, slots=True)
class Break:
    """One rule, and how to take it out.

    Attributes:
        rule: What the code promises.
        file: Where that stands.
        code: The lines that do it; they must be there exactly once.
        instead: What stands there once the rule is gone.
        test: The test that must fail then, as pytest selects it.
    """

    rule: str
    file: str
    code: str
    instead: str
    test: str


BREAKS: tuple[Break, ...] = (
    Break(
        "one rank owns the run",
        "shim/process.py",
        "decision.owner = decision.rank == wanted",
        "decision.owner = True",
        "tests/integration/test_roles.py::test_rank_1_imports_no_wandb_and_opens_no_socket",
    ),
    Break(
        "what an owner starts opens no run",
        "shim/process.py",
        "if job == job_of(environ) and owner_pid != str(pid):",
        "if not mark:",
        "tests/integration/test_roles.py::test_a_helper_of_the_owner_opens_no_run",
    ),
    Break(
        "a sitecustomize that was there still runs",
        "shim/sitecustomize.py",
        "\n    chain()\n",
        "\n    pass\n",
        "tests/integration/test_chaining.py::test_behind_ours_runs_what_python_alone_would_have_run",
    ),
    Break(
        "no seed repeats the IDs of artifacts",
        "shim/patches/wandb_runid.py",
        "setattr(module, name, random.SystemRandom())",
        "pass",
        "tests/integration/test_seeded_random.py::test_with_the_shim_both_jobs_keep_their_artifacts",
    ),
    Break(
        "as PID 1 a job ends at SIGTERM",
        "shim/guard.py",
        "if self._pid == 1:",
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
        "shim/run.py",
        "home_directory.replace_missing(os.environ)",
        "pass",
        "tests/integration/docker/test_places.py::test_a_script_is_one_run[a user without a home]",
    ),
    Break(
        "a framework finds no run before it asks for one",
        "shim/run.py",
        "setattr(wandb, name, before[name])",
        "pass",
        "tests/integration/test_frameworks.py::test_what_a_framework_logs_is_all_in_the_one_run[guarded]",
    ),
    Break(
        "a child of multiprocessing gets the run that nobody has asked for",
        "shim/patches/wandb_init.py",
        "joined = wandb_attach.take",
        "joined = (lambda module: None)",
        "tests/integration/test_children.py::test_rank_0_under_torchs_spawn_logs_to_the_one_run",
    ),
    Break(
        "a child does not end the run of its parent",
        "shim/patches/wandb_attach.py",
        "setattr(run, name, _letting_go(wandb, run))",
        "pass",
        "tests/integration/test_children.py::test_all_that_the_child_logs_is_in_the_one_run_which_the_owner_ends",
    ),
    Break(
        "a run that has ended is no longer open",
        "shim/guard.py",
        "state.withdraw()",
        "pass",
        "tests/integration/test_status.py::test_an_open_run_is_shown_with_its_process_until_it_ends",
    ),
    Break(
        "the owner's own node joins no run",
        "shim/process.py",
        "return not rank <= owner < rank + on_this_node",
        "return rank != owner",
        "tests/unit/test_process.py::test_one_process_a_node_joins_the_run_of_another",
    ),
    Break(
        "the script's directory stays out of our imports",
        "shim/script_directory.py",
        "sys.path.pop(0) if hidden else None",
        "None",
        "tests/integration/test_untouched.py::test_a_script_may_have_the_name_of_a_module",
    ),
    Break(
        "a key lies in no file of nemo-run",
        "launcher/environment.py",
        "for item in self.variables if item.name not in contract.SECRETS}",
        "for item in self.variables}",
        "tests/integration/test_launcher_local.py::test_a_local_task_is_one_run_and_its_key_lies_in_no_file[script-train.py-environment]",
    ),
    Break(
        "a container's inspection shows no key",
        "launcher/secrets.py",
        'return Delivery({contract.API_KEY_FILE: MOUNTED_FILE}, {"volumes": [*fields.get("volumes", ()), volume]})',
        "return Delivery({contract.API_KEY: key.value})",
        "tests/integration/test_launcher_docker.py::test_a_container_is_one_run_and_neither_inspection_nor_a_file_shows_its_key",
    ),
    Break(
        "a Slurm job's script and log have no key",
        "launcher/secrets.py",
        "return Delivery({contract.API_KEY_FILE: path}, added)",
        "return Delivery({contract.API_KEY: key.value}, added)",
        "tests/integration/test_launcher_slurm.py::test_a_job_of_two_tasks_that_is_requeued_is_one_run_and_its_key_lies_nowhere",
    ),
    Break(
        "a requeued Slurm job finds its key again",
        "launcher/secrets.py",
        "&& ! wandb_shim_comes_back; then",
        "; then",
        "tests/integration/test_launcher_slurm.py::test_a_job_that_fails_twice_keeps_its_key_for_the_retry_and_no_longer",
    ),
    Break(
        "a Slurm job's key goes with it",
        "launcher/secrets.py",
        "rm -rf -- @FOLDER@",
        "true",
        "tests/integration/test_launcher_slurm.py::test_a_job_that_is_cancelled_leaves_no_key",
    ),
    Break(
        "the key stays out of the job's environment",
        "shim/run.py",
        "settings.api_key = key",
        'settings.api_key = os.environ["WANDB_API_KEY"] = key',
        "tests/integration/test_launcher_docker.py::test_a_container_is_one_run_and_neither_inspection_nor_a_file_shows_its_key",
    ),
    Break(
        "a shell leaves values alone",
        "launcher/executors.py",
        "if value and _NO_QUOTES_NEEDED.issuperset(value):",
        "if value:",
        "tests/integration/test_launcher_executors.py::test_slurm_exports_every_value_unchanged",
    ),
    Break(
        "nemo-run's templates leave values alone",
        "launcher/executors.py",
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
        "a checkpoint's step is that of its path",
        "shim/patches/megatron_checkpoints.py",
        "step = int(found[1]) if found else iteration",
        "step = iteration",
        "tests/integration/test_artifacts.py::test_the_step_is_that_of_the_path_and_not_of_the_argument",
    ),
    Break(
        "a checkpoint is logged once, however often it is saved",
        "shim/artifacts.py",
        "            if key in self._seen:\n                return False\n",
        "",
        "tests/integration/test_artifacts.py::test_the_same_checkpoint_twice_in_a_process_is_one_version",
    ),
    Break(
        "a checkpoint may be deleted right after the next save",
        "shim/artifacts.py",
        "self._changed.wait_for(lambda: not self._not_looked_at, bound)",
        "pass",
        "tests/integration/test_megatron_lm.py::test_each_checkpoint_is_one_version_although_older_ones_are_deleted",
    ),
    Break(
        "a checkpoint's files are looked at without waiting for the server",
        "shim/artifacts.py",
        "            for queue in (self._to_look_at, self._to_tell):",
        "            self._to_tell = self._to_look_at\n            for queue in (self._to_look_at,):",
        "tests/integration/test_megatron_bridge.py::test_a_slow_server_does_not_hold_up_training",
    ),
    Break(
        "a checkpoint's path may be relative",
        "shim/patches/megatron_checkpoints.py",
        "absolute = Path(os.path.abspath(path))",
        "absolute = Path(path)",
        "tests/integration/test_artifacts.py::test_a_checkpoint_behind_links_has_the_name_of_the_link",
    ),
    Break(
        "a checkpoint without Megatron's writer goes to the open run",
        "shim/patches/megatron_checkpoints.py",
        "        run = artifacts.current_run()\n    if run is not None:\n        wandb_finish",
        "        run = None\n    if run is not None:\n        wandb_finish",
        "tests/integration/test_megatron_bridge.py::test_the_run_is_found_with_and_without_a_writer",
    ),
    Break(
        "a checkpoint's project is in Megatron's tracker file",
        "shim/patches/megatron_checkpoints.py",
        "            _note_project(os.path.join(save_dir, TRACKER), run)\n",
        "",
        "tests/integration/test_megatron_bridge.py::test_the_run_is_found_with_and_without_a_writer",
    ),
    Break(
        "a checkpoint that is loaded is an input of the run",
        "shim/artifacts.py",
        "            self._to_tell.put(functools.partial(self._use, name, run, loaded))",
        '            self._done((f"input {name}", 0))',
        "tests/integration/test_megatron_lm.py::test_a_resumed_job_has_its_checkpoint_as_input",
    ),
    Break(
        "a checkpoint rewritten in its place is a new version",
        "shim/artifacts.py",
        ", **_state_of(checkpoint.path)}",
        "}",
        "tests/integration/test_artifacts.py::test_a_rewritten_directory_is_a_new_version_an_unchanged_one_not",
    ),
    Break(
        "a checkpoint that a killed job did not commit is logged by the next",
        "shim/checkpoint.py",
        "            file.write(line)",
        "            pass",
        "tests/integration/test_megatron_lm.py::test_what_a_killed_job_left_is_logged_at_the_start_of_the_next",
    ),
    Break(
        "a checkpoint on its way is waited for by the end of its run",
        "shim/patches/wandb_finish.py",
        "    _wait()\n    return original",
        "    return original",
        "tests/integration/test_artifacts.py::test_the_end_of_the_run_waits_however_it_ends",
    ),
    Break(
        "a checkpoint on its way is waited for where nobody ends the run",
        "shim/patches/wandb_finish.py",
        "    atexit.register(_wait)\n",
        "",
        "tests/integration/test_nemo_rl.py::test_a_driver_that_never_calls_finish_gets_its_last_checkpoint",
    ),
    Break(
        "a checkpoint on its way is no business of a forked child",
        "shim/patches/wandb_finish.py",
        "os.register_at_fork(after_in_child=_forget)\n",
        "",
        "tests/integration/test_artifacts.py::test_a_forked_child_does_not_wait_for_its_parents_artifacts",
    ),
    Break(
        "a checkpoint of NeMo-RL's main is logged, too",
        "shim/patches/nemo_rl.py",
        'LAST_STEPS = ("_rename_checkpoint", "finalize_checkpoint")',
        'LAST_STEPS = ("finalize_checkpoint",)',
        "tests/integration/test_nemo_rl.py::test_each_checkpoint_is_one_artifact_although_older_ones_are_pruned",
    ),
    Break(
        "a checkpoint of NeMo-RL that is being finalized is waited for",
        "shim/patches/nemo_rl.py",
        "wandb_finish.before_finish.insert(0, _finish_saves)",
        "pass",
        "tests/integration/test_nemo_rl.py::test_a_logger_that_finishes_before_the_last_save_gets_it",
    ),
    Break(
        "a checkpoint past the patch is a warning",
        "shim/patches/liveness.py",
        '            if self._newest(directory) not in ("", before):',
        "            if False:",
        "tests/integration/test_nemo_rl.py::test_checkpoints_that_appear_past_the_patch_are_one_warning",
    ),
    Break(
        "a checkpoint of Megatron-Bridge past the patch is a warning",
        "shim/patches/megatron_checkpoints.py",
        "            liveness.watch(os.path.abspath(given))\n",
        "",
        "tests/integration/test_megatron_lm.py::test_checkpoints_of_megatron_bridge_past_the_patch_are_one_warning",
    ),
    Break(
        "Megatron-Bridge's own logging is switched on",
        "shim/patches/megatron_bridge.py",
        "        settings.wandb_project = os.environ.get(environment.PROJECT)\n",
        "",
        "tests/integration/test_megatron_bridge.py::test_one_rank_logs_checkpoints_metrics_and_what_it_resumes_from",
    ),
    Break(
        "Megatron-LM's own logging is switched on",
        "shim/patches/megatron_lm.py",
        "        settings.wandb_project = os.environ.get(environment.PROJECT)\n",
        "",
        "tests/integration/test_megatron_lm.py::test_its_own_logging_is_switched_on_in_the_one_run",
    ),
    Break(
        "NeMo-RL's own logging is switched on",
        "shim/patches/nemo_rl.py",
        '        settings["wandb_enabled"] = True\n',
        "",
        "tests/integration/test_nemo_rl.py::test_the_logger_that_a_recipe_left_off_is_switched_on",
    ),
    Break(
        "inputs named in the environment are those of the run",
        "shim/patches/wandb_init.py",
        "            artifacts.committer.use(name, opened)",
        "            pass",
        "tests/integration/test_inputs.py::test_the_run_has_them_as_its_inputs",
    ),
    Break(
        "TensorBoard scalars are in the run where that is asked for",
        "shim/patches/tensorboard.py",
        '        mine.run._tensorboard_callback(str(args[0] if args else kwargs["logdir"]))',
        "        pass",
        "tests/integration/test_tensorboard.py::test_scalars_of_tensorboard_are_in_the_run_with_their_steps",
    ),
    Break(
        "a job that is started again goes on with its run",
        "shim/run.py",
        "run_id = derived_run_id(os.environ, sys.orig_argv[1:])",
        "run_id = None",
        "tests/integration/test_restarts.py::test_a_job_that_is_started_again_goes_on_with_its_run",
    ),
)


def fails_when_broken(row: Break) -> str:
    """Run the row's test in a broken copy; the empty string if it fails there as it must, else what happened."""
    with tempfile.TemporaryDirectory(prefix="wandb-shim-broken-") as scratch:
        copy = Path(scratch) / "repository"
        ignore = shutil.ignore_patterns(".git", ".cache", ".venv", "__pycache__", ".*_cache")
        shutil.copytree(REPOSITORY, copy, ignore=ignore)
        (copy / CACHE.name).symlink_to(CACHE)
        source = copy / row.file
        text = source.read_text(encoding="utf-8")
        if text.count(row.code) != 1:
            return f"{row.file} has {text.count(row.code)} times: {row.code!r}"
        source.write_text(text.replace(row.code, row.instead), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", row.test]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, check=False)
    if done.returncode == 1 and " failed" in done.stdout:
        return ""
    return f"{row.test} ended with {done.returncode} although the rule is gone:\n{done.stdout[-2000:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Break each rule, or those whose name contains a word."""
    parser = argparse.ArgumentParser(prog="python -m tests.break_it", description=main.__doc__)
    parser.add_argument("word", nargs="?", default="", help="only rules with this word")
    word = parser.parse_args(arguments).word
    bad = 0
    for row in BREAKS:
        if word in row.rule:
            problem = fails_when_broken(row)
            bad += bool(problem)
            print(f"{'NOT NOTICED' if problem else 'noticed':<12} {row.rule}  [{row.test}]", flush=True)
            if problem:
                print(problem, flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
