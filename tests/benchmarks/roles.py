"""Variables of the processes of a tracked job that own no run."""

from __future__ import annotations

TRACKED = {"WANDB_PROJECT": "p", "WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
RANK_1 = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
RANK_1_OF_SRUN = {
    **{"SLURM_JOB_ID": "5", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"},
    "SLURM_LOCALID": "1",
}
BELOW_AN_OWNER = {"WANDB_SHIM_OWNED_BY": "1@"}
BELOW_AN_OWNER_IN_A_JOB = {"WANDB_SHIM_OWNED_BY": "1@SLURM_JOB_ID=5", "SLURM_JOB_ID": "5"}
