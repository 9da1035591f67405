"""What stands in the script's own process: no wandb, no thread, no child."""
