#!/usr/bin/env bash
# An environment of conda, mamba or micromamba that tracks what it runs: conda activate ENV, then ./job.sh train.py …
# The environment needs wandb. Once: python -m shim install --home-only --home wandb-shim
# To take it out again: python -m shim uninstall --home "$CONDA_PREFIX/opt/wandb-shim"
set -euo pipefail

export WANDB_PROJECT=nemotron
export WANDB_API_KEY_FILE="$HOME/.wandb-key"

# In this environment alone; done again, it changes nothing.
python=${CONDA_PREFIX:?conda activate an environment first}/bin/python
PYTHONPATH=wandb-shim:wandb-shim/vendor \
    "$python" -m shim install --python "$python" --home "$CONDA_PREFIX/opt/wandb-shim" >/dev/null

exec "$python" "$@"
