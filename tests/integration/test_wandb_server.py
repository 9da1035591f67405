"""The test double of the W&B API against the real client: what the rest of the tests stand on."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_of
from tests.wandb_server import API_KEY, Fault, WandbServer
from tests.wandb_server.fixture import wandb_server

__all__ = ["wandb_server"]  # the fixture

ROOT = Path(__file__).resolve().parents[2]

LIFE_CYCLE = """
import sys, time, wandb
run = wandb.init(project="demo", config={"lr": 0.1}, tags=["a"], group="g", job_type="train", notes="n", id="life")
run.config.update({"batch": 3})
run.name, run.tags = "renamed", run.tags + ("b",)
for step in range(3):
    run.log({"loss": 1 / (step + 1)})
    print("step", step)
print("careful", file=sys.stderr)
run.alert("title", "text")

def log(collection, content, **options):
    artifact = wandb.Artifact(collection, "model", metadata={"content": content})
    with artifact.new_file("weights.txt") as file:
        file.write(content)
    return run.log_artifact(artifact, **options).wait(30)

assert log("ckpt", "one", aliases=["best"]).version == "v0"
assert log("ckpt", "two").version == "v1"
assert log("ckpt", "one", aliases=["again"]).version == "v0"  # no new version, the alias moves
assert log("ckpt", "three", aliases=["best"]).version == "v2"
reference = wandb.Artifact("host-path", "checkpoint")
reference.add_reference("file://" + __file__)
run.log_artifact(reference).wait(30)
assert reference.qualified_name == "acme/demo/host-path:v0", reference.qualified_name
used = run.use_artifact("ckpt:best")
assert (used.version, used.type, used.metadata) == ("v2", "model", {"content": "three"})
with open(used.download("downloaded") + "/weights.txt") as file:
    assert file.read() == "three"
try:
    run.use_artifact("nothing:latest")
except Exception as error:
    print("refused:", error)
run.finish()
read = wandb.Api().run("acme/demo/life")
assert (read.state, read.name, read.config["lr"], read.summary["loss"]) == ("finished", "renamed", 0.1, 1 / 3)
"""

ARTIFACT_TWICE = """
import wandb
run = wandb.init(project="demo")
for content in "one", "two":
    artifact = wandb.Artifact(content, "model")
    artifact._client_id = "same" * 32
    with artifact.new_file("weights.txt") as file:
        file.write(content)
    try:
        run.log_artifact(artifact).wait(30)
    except ValueError as error:
        print(error)
"""

FEW_STEPS = """
import os, sys, wandb
run = wandb.init(project="demo", id="few")
for step in range(3):
    run.log({"x" + os.environ.get("WANDB_X_LABEL", ""): step})
    print("line", step)
if "boom" in sys.argv:
    raise RuntimeError("boom")
"""

REFUSED = """
import os, wandb
try:
    wandb.init(project="demo")
except Exception as error:
    print(error, flush=True)
    os._exit(7)  # up to wandb 0.27 an ordinary exit may hang after a failed init
"""


def client_python() -> str:
    """The interpreter that has wandb."""
    return str(python_of("wandb"))


def start(script: str, server: WandbServer, folder: Path, *args: str, **variables: str) -> subprocess.Popen[str]:
    """Start a script that logs to the server."""
    path = folder / "train.py"
    path.write_text(script)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    private = {name: str(folder) for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "HOME")}
    quiet = {"WANDB_SILENT": "true", "WANDB_X_STATS_SAMPLING_INTERVAL": "0.1"}
    return subprocess.Popen(
        [client_python(), str(path), *args],
        env={**inherited, **private, **quiet, **server.environment(), **variables},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(script: str, server: WandbServer, folder: Path, *args: str, status: int = 0, **variables: str) -> str:
    """Run a script that logs to the server; its output."""
    with start(script, server, folder, *args, **variables) as process:
        try:
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == status, output
    return output


def post(url: str, body: Any, timeout: float = 10.0, method: str = "POST", key: str = API_KEY) -> tuple[int, Any]:
    """One request as the client would send it; status and parsed answer."""
    request = urllib.request.Request(url, json.dumps(body).encode(), method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"api:{key}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


VIEWER = {"query": "query Viewer { viewer { entity } }"}


# --- runs and artifacts -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def life_cycle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbServer]:
    with WandbServer.start() as server:
        run(LIFE_CYCLE, server, tmp_path_factory.mktemp("life"), "--steps", "3")
        yield server


def test_a_whole_run_is_understood(life_cycle: WandbServer) -> None:
    assert life_cycle.unknown == []
    assert {status for *_, status in life_cycle.requests} == {200}


def test_a_run_keeps_what_the_client_said(life_cycle: WandbServer) -> None:
    recorded = life_cycle.run()
    assert recorded.path == "acme/demo/life"
    assert (recorded.display_name, recorded.group, recorded.job_type) == ("renamed", "g", "train")
    assert (recorded.notes, recorded.tags) == ("n", ["a", "b"])
    assert recorded.config["lr"] == 0.1
    assert recorded.config["batch"] == 3
    assert "_wandb" in recorded.config
    assert recorded.client_version.startswith("0.")
    assert recorded.program.endswith("train.py")
    assert recorded.metadata["args"] == ["--steps", "3"]
    assert recorded.alerts == [{"title": "title", "text": "text", "severity": "INFO"}]


def test_a_run_keeps_its_metrics_console_and_end(life_cycle: WandbServer) -> None:
    recorded = life_cycle.run()
    assert [(row["_step"], row["loss"]) for row in recorded.history] == [(0, 1), (1, 0.5), (2, 1 / 3)]
    assert recorded.summary["loss"] == 1 / 3
    assert recorded.events
    text = recorded.console_text()
    assert text.startswith("step 0\nstep 1\nstep 2\n"), text
    assert "\ncareful\n" in text
    assert any(line.startswith("ERROR 2") for line in recorded.console)
    assert (recorded.state, recorded.exit_code, recorded.complete) == ("finished", 0, True)
    assert {"config.yaml", "output.log", "requirements.txt", "wandb-metadata.json"} <= set(recorded.files)


def test_artifact_versions_aliases_and_lineage(life_cycle: WandbServer) -> None:
    versions = {artifact.name: artifact for artifact in life_cycle.artifacts}
    assert list(versions) == ["ckpt:v0", "ckpt:v1", "ckpt:v2", "host-path:v0"]
    aliases = {name: sorted(artifact.aliases) for name, artifact in versions.items()}
    assert aliases["ckpt:v0"] == ["again"]
    assert aliases["ckpt:v1"] == []
    assert aliases["ckpt:v2"] == ["best", "latest"]
    assert {artifact.state for artifact in versions.values()} == {"COMMITTED"}
    (entry,) = versions["host-path:v0"].entries.values()
    assert entry["ref"].startswith("file:///")
    assert list(versions["ckpt:v2"].files.values()) == [b"three"]
    recorded = life_cycle.run()
    assert recorded.logged_artifacts == list(versions)
    assert recorded.used_artifacts == ["ckpt:v2"]
    assert versions["ckpt:v2"].used_by == ["life"]


def test_an_artifact_that_is_not_there_is_an_ordinary_error(life_cycle: WandbServer) -> None:
    assert "refused: artifact" in life_cycle.run().console_text()


def test_a_run_that_raises_has_failed(wandb_server: WandbServer, tmp_path: Path) -> None:
    run(FEW_STEPS, wandb_server, tmp_path, "boom", status=1)
    recorded = wandb_server.run()
    assert (recorded.state, recorded.exit_code) == ("failed", 1)
    assert "RuntimeError: boom" in recorded.console_text()


def test_a_run_resumes_where_it_ended(wandb_server: WandbServer, tmp_path: Path) -> None:
    for _ in range(2):
        run(FEW_STEPS, wandb_server, tmp_path, WANDB_RESUME="allow")
    recorded = wandb_server.run()
    assert [(row["_step"], row["x"]) for row in recorded.history] == [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]
    # wandb 0.21 to 0.25 number the console of a resumed run from 0: its lines replace those of the first part.
    assert recorded.console_text().endswith("line 0\nline 1\nline 2")
    assert (recorded.resumed, recorded.state) == (1, "finished")


def test_two_processes_share_a_run(wandb_server: WandbServer, tmp_path: Path) -> None:
    shared = {"WANDB_MODE": "shared"}
    worker = {"WANDB_X_PRIMARY": "false", "WANDB_X_UPDATE_FINISH_STATE": "false"}
    with (
        start(FEW_STEPS, wandb_server, tmp_path, WANDB_X_LABEL="one", **shared) as primary,
        start(FEW_STEPS, wandb_server, tmp_path, WANDB_X_LABEL="two", **shared, **worker) as second,
    ):
        outputs = [process.communicate(timeout=120)[0] for process in (primary, second)]
    assert (primary.returncode, second.returncode) == (0, 0), outputs
    rows = wandb_server.run().history
    assert sorted(row["xone"] for row in rows if "xone" in row) == [0, 1, 2]
    assert sorted(row["xtwo"] for row in rows if "xtwo" in row) == [0, 1, 2]


@pytest.mark.parametrize("strict", [True, False])
def test_a_client_id_names_one_content(strict: bool, tmp_path: Path) -> None:
    with WandbServer.start(strict_client_ids=strict) as server:
        output = run(ARTIFACT_TWICE, server, tmp_path)
        assert ("Invalid Client ID digest" in output) is strict
        assert [artifact.collection for artifact in server.artifacts] == (["one"] if strict else ["one", "two"])
        assert server.unknown == []


# --- the key ----------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused(wandb_server: WandbServer, tmp_path: Path) -> None:
    run(REFUSED, wandb_server, tmp_path, status=7, WANDB_API_KEY="f" * 40)
    assert wandb_server.runs == []
    assert 401 in {status for *_, status in wandb_server.requests}


def test_a_wrong_key_gets_the_answer_of_the_real_api(wandb_server: WandbServer) -> None:
    status, answer = post(f"{wandb_server.url}/graphql", VIEWER, key="f" * 40)
    assert status == 401
    assert answer["data"] == {"viewer": None}
    assert answer["errors"][0]["message"] == "user is not logged in"


# --- faults -----------------------------------------------------------------------------------------------


def test_the_client_survives_short_faults(wandb_server: WandbServer, tmp_path: Path) -> None:
    wandb_server.set_fault(Fault("reset", match="UpsertBucket", times=1))
    wandb_server.set_fault(Fault("status", status=500, match="file_stream", times=1))
    run(FEW_STEPS, wandb_server, tmp_path)
    recorded = wandb_server.run()
    assert (len(recorded.history), recorded.state) == (3, "finished")
    assert {0, 500} <= {status for *_, status in wandb_server.requests}


def test_status_faults_are_limited_by_match_after_and_times(wandb_server: WandbServer) -> None:
    wandb_server.set_fault(Fault("status", status=503, match="^Viewer$", after=1, times=2))
    statuses = [post(f"{wandb_server.url}/graphql", VIEWER)[0] for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    wandb_server.set_fault(Fault("status", status=500, match="Other"))
    assert post(f"{wandb_server.url}/graphql", VIEWER)[0] == 200


def test_too_many_requests_come_with_a_time_to_wait(wandb_server: WandbServer) -> None:
    wandb_server.set_fault(Fault("status", status=429))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{wandb_server.url}/graphql", b"{}", timeout=10)
    with caught.value as error:
        assert (error.code, error.headers["Retry-After"]) == (429, "1")


def test_a_slow_server_answers_late(wandb_server: WandbServer) -> None:
    wandb_server.set_fault(Fault("slow", seconds=0.3))
    begun = time.monotonic()
    assert post(f"{wandb_server.url}/graphql", VIEWER)[0] == 200
    assert time.monotonic() - begun >= 0.3


def test_a_hanging_server_never_answers_and_still_stops(wandb_server: WandbServer) -> None:
    wandb_server.set_fault(Fault("hang"))
    with pytest.raises(TimeoutError):
        post(f"{wandb_server.url}/graphql", VIEWER, timeout=0.3)


@pytest.mark.parametrize(("kind", "error"), [("reset", ConnectionResetError), ("drop", http.client.RemoteDisconnected)])
def test_a_cut_connection_is_cut_until_faults_are_cleared(
    wandb_server: WandbServer, kind: Any, error: type[Exception]
) -> None:
    wandb_server.set_fault(Fault(kind, after=1))
    assert post(f"{wandb_server.url}/graphql", VIEWER)[0] == 200
    with pytest.raises((error, urllib.error.URLError)) as caught:
        post(f"{wandb_server.url}/graphql", VIEWER)
    assert type(getattr(caught.value, "reason", caught.value)) is error
    wandb_server.clear_faults()
    assert post(f"{wandb_server.url}/graphql", VIEWER)[0] == 200


# --- the server itself ------------------------------------------------------------------------------------


def test_unknown_requests_are_named() -> None:
    with WandbServer.start() as server:
        status, answer = post(f"{server.url}/graphql", {"query": "query Odd { oddity { id } }"})
        assert status == 400
        assert "oddity" in answer["errors"][0]["message"]
        assert post(f"{server.url}/no/such/path", {})[0] == 404
        assert [line.split(":")[0] for line in server.unknown] == ["query Odd", "/no/such/path"]


def test_run_without_a_run_says_so(wandb_server: WandbServer) -> None:
    with pytest.raises(AssertionError, match="expected one run, found 0"):
        wandb_server.run()


def test_upload_addresses_use_the_name_the_client_used(wandb_server: WandbServer) -> None:
    url = f"{wandb_server.url}/graphql".replace("127.0.0.1", "localhost")
    upsert = 'mutation U { upsertBucket(input: {name: "r", modelName: "p"}) { inserted } }'
    files = (
        'mutation F { createRunFiles(input: {projectName: "p", runName: "r", files: ["a b.txt"]}) '
        "{ files { uploadUrl } } }"
    )
    assert post(url, {"query": upsert})[1]["data"]["upsertBucket"]["inserted"] is True
    answer = post(url, {"query": files})[1]
    address = answer["data"]["createRunFiles"]["files"][0]["uploadUrl"]
    assert address.startswith("http://localhost:")
    with urllib.request.urlopen(urllib.request.Request(address, b"text", method="PUT"), timeout=10):
        assert wandb_server.run().files == {"a b.txt": b"text"}


def test_the_command_serves_faults_and_state_over_http_until_sigterm() -> None:
    command = [sys.executable, "-m", "tests.wandb_server", "--entity", "team", "--api-key", "k" * 40]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert post(f"{url}/graphql", VIEWER, key="k" * 40) == (200, {"data": {"viewer": {"entity": "team"}}})
            post(f"{url}/_test/faults", {"kind": "status", "status": 502})
            assert post(f"{url}/graphql", VIEWER, key="k" * 40)[0] == 502
            post(f"{url}/_test/faults", {}, method="DELETE")
            with urllib.request.urlopen(f"{url}/_test/state", timeout=10) as response:
                state = json.load(response)
            assert state["requests"] == [["POST", "/graphql", "Viewer", 200], ["POST", "/graphql", "Viewer", 502]]
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == ""
            process.wait(10)
        finally:
            process.kill()
