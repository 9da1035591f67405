"""The process beside the script: wandb, the run, the key, artifacts, the console, the end."""
