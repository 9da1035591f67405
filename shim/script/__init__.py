"""The part of the shim that runs in the script's own process: no wandb, no thread, no child."""
