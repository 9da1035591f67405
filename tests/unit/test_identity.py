"""Which runs are one: the scheduler's name of a job, and the command line."""

from __future__ import annotations

import pytest

from shim.companion.identity import derived_run_id

TRAIN = ("train.py", "--lr", "1")
RAY = '{"metadata": {"job_submission_id": "raysubmit_1"}}'

SAME_JOB = [
    ({"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1", "SLURM_NODELIST": "other"}),
    ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "HOSTNAME": "b"}),
    ({"TORCHELASTIC_RUN_ID": "a"}, {"TORCHELASTIC_RUN_ID": "a", "TORCHELASTIC_RESTART_COUNT": "2"}),
    ({"SKYPILOT_TASK_ID": "sky-1"}, {"SKYPILOT_TASK_ID": "sky-1", "SKYPILOT_NODE_IPS": "1"}),
    ({"RAY_JOB_CONFIG_JSON_ENV_VAR": RAY}, {"RAY_JOB_CONFIG_JSON_ENV_VAR": RAY}),
]
OTHER_JOB = [
    ({"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "8"}),
    ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1"}),
    (
        {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"},
        {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"},
    ),
    ({"TORCHELASTIC_RUN_ID": "a"}, {"SKYPILOT_TASK_ID": "a"}),
]
NO_IDENTITY = [
    {},
    {"TORCHELASTIC_RUN_ID": "none"},
    {"SLURM_JOB_ID": ""},
    {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"},
    {"RAY_JOB_CONFIG_JSON_ENV_VAR": "nonsense"},
]


@pytest.mark.parametrize(("first", "second"), SAME_JOB)
def test_a_restarted_job_continues_its_run(first: dict[str, str], second: dict[str, str]) -> None:
    assert derived_run_id(first, TRAIN) == derived_run_id(second, TRAIN) is not None


@pytest.mark.parametrize(("first", "second"), OTHER_JOB)
def test_another_job_step_or_array_task_is_another_run(first: dict[str, str], second: dict[str, str]) -> None:
    assert derived_run_id(first, TRAIN) != derived_run_id(second, TRAIN)


def test_two_programs_of_one_job_are_two_runs() -> None:
    environ = {"SLURM_JOB_ID": "7"}
    assert derived_run_id(environ, TRAIN) != derived_run_id(environ, ("evaluate.py",))
    assert derived_run_id(environ, TRAIN) != derived_run_id(environ, ("train.py", "--lr", "2"))


@pytest.mark.parametrize("environ", NO_IDENTITY)
def test_without_an_identity_there_is_no_derived_id(environ: dict[str, str]) -> None:
    assert derived_run_id(environ, TRAIN) is None
