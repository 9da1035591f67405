"""A test double of the W&B HTTP API, driven by the real wandb client in online mode.

The client's own transport, retries and uploads run for real; only the other end of the wire is ours. What
arrives is kept as plain dataclasses (`Run`, `Artifact`) that a test reads directly:

    with WandbServer.start() as server:
        subprocess.run([python, "train.py"], env={**os.environ, **server.environment()}, check=True)
        assert server.run().state == "finished"
"""

from tests.wandb_server.faults import Fault
from tests.wandb_server.records import Artifact, Run
from tests.wandb_server.server import API_KEY, WandbServer

__all__ = ["API_KEY", "Artifact", "Fault", "Run", "WandbServer"]
