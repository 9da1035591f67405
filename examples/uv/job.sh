#!/usr/bin/env bash
# A project of uv that is tracked with no change to it or to an interpreter: ./job.sh train.py …, in the project.
# Once: python -m shim install --home-only --home wandb-shim
set -euo pipefail

export WANDB_PROJECT=nemotron
export WANDB_API_KEY_FILE="$HOME/.wandb-key"
export PYTHONPATH="$PWD/wandb-shim${PYTHONPATH:+:$PYTHONPATH}"

exec uv run --with wandb "$@"
