"""Executors of the real nemo-run: what each would send, inspected by nemo-run's own schedulers.

The programs run in an environment that has nemo-run; what they print last, as JSON, is what a test looks at.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments import python_of
from tests.forking import Forks, forking

pytestmark = pytest.mark.xdist_group("nemo-run")

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef01234567"

VALUES = {
    "SPACES": "  two  spaces ",
    "QUOTES": """it's "quoted" `date`""",
    "DOLLARS": "$HOME ${HOME} $$ $(date) $(HOME) \\$x $head_node_ip_var $",
    "BACKSLASHES": "a\\b\\\\c\\n\\",
    "LINES": "one\ntwo\n\nfour\n",
    "UNICODE": "Köln 東京 🚀",
    "COMMENT": "# not a comment; x && y | z",
    "EMPTY": "",
}

PROFILES: dict[str, dict[str, Any]] = {
    "local": {"nproc_per_node": 2},
    "docker": {"container": "image:1", "gpus_per_node": 2, "mounts": ["~/data:/data"], "network": "host"},
    "slurm": {"account": "a", "batch_partition": "p", "container_image": "image:1", "mounts": ["/m:/m"]},
    "skypilot": {"cloud": "kubernetes", "nodes": 2, "startup_commands": ["echo 1", "echo 2"]},
    "dgxcloud": {
        "base_url": "https://dgx.example.com/api",
        "kube_apiserver_url": "https://kube.example.com",
        "app_id": "id",
        "app_secret": "client-secret",
        "project_name": "p",
        "container_image": "image:1",
        "remote_job_dir": "/pvc/jobs",
        "pvcs": [{"path": "/pvc", "name": "pvc"}],
        "wandb_secret": "wandb",
    },
    "lepton": {"container_image": "image:1", "remote_job_dir": "/jobs", "node_group": "g", "wandb_secret": "w"},
    "kuberay": {
        "container_image": "image:1",
        "wandb_secret": "w",
        "worker_groups": [{"group_name": "workers", "replicas": 2, "cpu_requests": "1"}],
    },
    "skypilot-jobs": {"infra": "kubernetes", "nodes": 2, "startup_commands": ["echo 1"]},
    "kubeflow": {"container_image": "image:1", "nodes": 2, "wandb_secret": "w", "workdir_pvc": "pvc"},
}

PROLOGUE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import launcher
from launcher import build_executor
GIVEN = json.loads(os.environ.pop("GIVEN"))

def build(kind, **more):
    profile = {"executor": kind, **GIVEN["profiles"][kind], "env_vars": GIVEN["values"], **more}
    return build_executor(profile, env={"WANDB_PROJECT": "p"}, verify=False)

def assigned(executor):
    # As Experiment does before it hands an executor to a scheduler.
    job = os.environ["NEMORUN_HOME"] + "/experiments/e/e_1"
    os.makedirs(job + "/task", exist_ok=True)
    executor.assign("e_1", job, "task", "task")
    return executor

def answer(value):
    print("\\n" + json.dumps(value), flush=True)
"""


@pytest.fixture
def environ(tmp_path: Path, clean_environment: dict[str, str]) -> dict[str, str]:
    """A host whose login is in the environment."""
    return {
        **clean_environment,
        "PYTHONPATH": str(REPOSITORY),
        "NEMORUN_HOME": str(tmp_path / "nemo_run"),
        "WANDB_API_KEY": KEY,
        "GIVEN": json.dumps({"profiles": PROFILES, "values": VALUES}),
    }


# Imported once; what finds packages missing runs in an interpreter of its own.
IMPORTS = """
import importlib, nemo_run.config
for name in ("local", "docker", "slurm", "skypilot", "skypilot_jobs", "dgxcloud", "lepton", "kuberay", "kubeflow"):
    importlib.import_module("nemo_run.core.execution." + name)
"""

KUBECONFIG = (
    "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]"
    "\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
)

InNemoRun = Callable[..., Any]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    home = tmp_path_factory.mktemp("home")
    (home / "kubeconfig").write_text(KUBECONFIG)  # named before kubernetes is imported, which then looks
    named = {"HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")}
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), **named}
    with forking(python_of("launcher"), IMPORTS, environ) as running:
        yield running


@pytest.fixture
def in_nemo_run(forks: Forks, environ: dict[str, str], tmp_path: Path) -> InNemoRun:
    """Run a program after the prologue, with changes to `environ`; what it answered."""

    def run(program: str, **changes: str) -> Any:
        home = "import os, nemo_run.config\nnemo_run.config.set_nemorun_home(os.environ['NEMORUN_HOME'])\n"
        return answer_of(forks.run(home + PROLOGUE + program, {**environ, **changes}, tmp_path))

    return run


def answer_of(done: subprocess.CompletedProcess[str]) -> Any:
    """What a program printed last, as JSON."""
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads(done.stdout.rstrip().splitlines()[-1])


def test_every_executor_is_of_nemo_runs_exact_class_and_has_no_key_in_its_variables(
    environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun
) -> None:
    program = """
import dataclasses
def look(kind):
    executor = build(kind)
    return {
        "class": type(executor).__module__ + "." + type(executor).__qualname__,
        "env": executor.env_vars or {item["name"]: item["value"] for item in executor.env_list},
        "dump": repr(executor),
        "fields": {f.name: repr(getattr(executor, f.name)) for f in dataclasses.fields(executor)},
    }
answer({kind: look(kind) for kind in GIVEN["profiles"]})
"""
    seen = in_nemo_run(program)
    assert {kind: item["class"].removeprefix("nemo_run.core.execution.") for kind, item in seen.items()} == {
        "local": "local.LocalExecutor",
        "docker": "docker.DockerExecutor",
        "slurm": "slurm.SlurmExecutor",
        "skypilot": "skypilot.SkypilotExecutor",
        "dgxcloud": "dgxcloud.DGXCloudExecutor",
        "lepton": "lepton.LeptonExecutor",
        "kuberay": "kuberay.KubeRayExecutor",
        "skypilot-jobs": "skypilot_jobs.SkypilotJobsExecutor",
        "kubeflow": "kubeflow.KubeflowExecutor",
    }
    for kind, item in seen.items():
        assert item["env"]["WANDB_PROJECT"] == "p", kind
        assert "WANDB_API_KEY" not in item["env"], kind
        assert KEY not in json.dumps(item), kind
    expected = {
        "local": {"ntasks_per_node": "2"},
        "docker": {"container_image": "'image:1'", "num_gpus": "2", "network": "'host'"},
        "slurm": {"account": "'a'", "partition": "'p'"},
        "skypilot": {"num_nodes": "2", "setup": repr("echo 1\necho 2"), "cloud": "'kubernetes'"},
        "dgxcloud": {"client_id": "'id'", "pvc_nemo_run_dir": "'/pvc/jobs'"},
        "lepton": {"nemo_run_dir": "'/jobs'", "secret_vars": "{'WANDB_API_KEY': 'w'}"},
        "kuberay": {"image": "'image:1'"},
        "skypilot-jobs": {"num_nodes": "2", "setup": "'echo 1'"},
        "kubeflow": {"image": "'image:1'", "num_nodes": "2"},
    }
    for kind, fields in expected.items():
        assert {name: seen[kind]["fields"][name] for name in fields} == fields, kind
    assert f"{environ['HOME']}/data:/data" in seen["docker"]["fields"]["volumes"]
    for kind in ("docker", "slurm", "dgxcloud", "lepton", "kuberay", "kubeflow"):
        assert seen[kind]["env"]["WANDB_DOCKER"] == "image:1", kind


def test_the_table_of_fields_is_that_of_nemo_runs_classes(
    environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun
) -> None:
    program = """
import dataclasses, importlib
from launcher.executors import EXECUTORS
from launcher.executors.base import COMMON, EXECUTION
def look(spec):
    cls = getattr(importlib.import_module(EXECUTION + "." + spec.module), spec.class_name)
    real = {f.name: f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            for f in dataclasses.fields(cls) if f.init}
    known = {field.target or name for name, field in {**COMMON, **spec.fields}.items()}
    return {"missing": sorted(set(real) - known), "unknown": sorted(t for t in known - set(real) if t[0] != "."),
            "required": sorted(n for n, must in real.items() if must), "ours": sorted(spec.required)}
answer({kind: look(spec) for kind, spec in EXECUTORS.items()})
"""
    for kind, seen in in_nemo_run(program).items():
        # env_vars, packager and tunnel have names of ours in the table; the other two are nemo-run's own to fill.
        unlisted = {"env_vars", "packager", "experiment_id", "job_dir"} | ({"tunnel"} if kind == "slurm" else set())
        assert set(seen["missing"]) == unlisted, kind
        assert seen["unknown"] == [], kind
        assert seen["required"] == seen["ours"], kind


def scheduled(kind: str, after: str) -> str:
    """A program that takes a real Script through nemo-run's packaging and the scheduler of an executor."""
    return f"""
import nemo_run as run
from nemo_run.run.torchx_backend.packaging import package
from nemo_run.run.torchx_backend.schedulers.{kind} import create_scheduler
executor = assigned(build("{kind}", packager=run.Packager()))
app = package("task", run.Script(path="train.py", entrypoint="python"), executor)
request = create_scheduler("s")._submit_dryrun(app, executor).request
{after}
"""


def sourced(script: str, tmp_path: Path) -> dict[str, str]:
    """What a process sees that a script starts after its exports."""
    dump = tmp_path / "dump"
    exports = script.split("\n\nsrun ")[0].split("\nexport GROUP_RANK")[0]
    (tmp_path / "job.sh").write_text(exports + f"\nenv -0 > {dump}\n")
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for name in ("scontrol", "srun"):
        (tools / name).write_text("#!/bin/sh\necho node1\n")
        (tools / name).chmod(0o755)
    environ = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": "/nowhere"}
    done = subprocess.run(["bash", str(tmp_path / "job.sh")], env=environ, capture_output=True, text=True, check=False)
    assert dump.exists(), done.stderr
    assert KEY not in done.stderr + done.stdout
    return dict(item.partition("=")[::2] for item in dump.read_text().split("\0") if item)


def test_slurm_exports_every_value_unchanged(in_nemo_run: InNemoRun, tmp_path: Path) -> None:
    program = scheduled(
        "slurm", 'answer({"script": request.materialize(), "path": executor.env_vars["WANDB_API_KEY_FILE"]})'
    )
    seen = in_nemo_run(program)
    script, path = seen["script"], seen["path"]
    assert KEY not in script
    assert Path(path).read_text() == KEY + "\n"
    assert [oct(item.stat().st_mode & 0o777) for item in (Path(path), Path(path).parent)] == ["0o600", "0o700"]
    assert f"{Path(path).parent}:{Path(path).parent}:ro" in script
    mounts = next(line for line in script.splitlines() if line.startswith("srun ") and "--container-env" in line)
    assert "WANDB_API_KEY_FILE" in mounts, "an image's own variables do not win"
    job = sourced(script, tmp_path)
    assert {name: job[name] for name in VALUES} == VALUES
    assert job["WANDB_PROJECT"] == "p"
    assert job["WANDB_API_KEY_FILE"] == path
    assert "wandb_shim_end" in script


def test_dgx_cloud_exports_every_value_unchanged_and_refers_to_a_secret(in_nemo_run: InNemoRun, tmp_path: Path) -> None:
    program = scheduled(
        "dgxcloud",
        """
import types, nemo_run.core.execution.dgxcloud as module
sent = []
module.requests.post = lambda url, json, headers: sent.append(json) or types.SimpleNamespace(status_code=202, text="")
executor.create_training_job("token", "project", "cluster", "task")
answer({"script": open(executor.experiment_dir + "/torchrun_job.sh").read(), "sent": sent[0]})
""",
    )
    seen = in_nemo_run(program)
    assert KEY not in json.dumps(seen)
    job = sourced(seen["script"], tmp_path)
    assert {name: job[name] for name in VALUES} == VALUES
    variables = {item["name"]: item for item in seen["sent"]["spec"]["environmentVariables"]}
    assert {name: variables[name]["value"] for name in VALUES} == VALUES
    assert variables["WANDB_API_KEY"]["secret"] == {"name": "wandb", "key": "WANDB_API_KEY"}


def test_skypilot_gets_every_value_unchanged_and_the_key_as_a_file_mount(in_nemo_run: InNemoRun) -> None:
    program = """
import nemo_run as run
from nemo_run.run.torchx_backend.packaging import package
executor = assigned(build("skypilot"))
app = package("task", run.Script(path="train.py", entrypoint="python"), executor)
role = executor.macro_values().apply(app.roles[0])
task = executor.to_task("task", [role.entrypoint, *role.args], role.env)
source = task.file_mounts[task.envs["WANDB_API_KEY_FILE"]]
answer({"env": task.envs, "yaml": task.to_yaml_config(), "key": open(source).read(),
        "mode": oct(os.stat(source).st_mode & 0o777)})
"""
    seen = in_nemo_run(program)
    assert {name: seen["env"][name] for name in VALUES} == VALUES
    assert (seen["key"], seen["mode"]) == (KEY + "\n", "0o600")
    assert KEY not in json.dumps(seen["yaml"])


def test_lepton_gets_every_value_unchanged_and_refers_to_a_secret(in_nemo_run: InNemoRun) -> None:
    program = """
from unittest.mock import MagicMock
import nemo_run.core.execution.lepton as module
client = MagicMock()
group = MagicMock()
group.metadata.name, group.metadata.id_ = "g", "g-1"
client.nodegroup.list_all.return_value = [group]
client.nodegroup.list_nodes.return_value = []
module.APIClient = lambda: client
executor = assigned(build("lepton"))
executor.create_lepton_job("task")
job = client.job.create.call_args.args[0]
answer([item.model_dump() if hasattr(item, "model_dump") else item.dict() for item in job.spec.envs])
"""
    seen = in_nemo_run(program)
    variables = {item["name"]: item for item in seen}
    assert {name: variables[name]["value"] for name in VALUES} == VALUES
    assert variables["WANDB_API_KEY"]["value_from"]["secret_name_ref"] == "w"
    assert variables["WANDB_API_KEY"]["value"] is None
    assert KEY not in json.dumps(seen)


def kubelet(value: str, environ: dict[str, str]) -> str:
    """What the kubelet makes of a value (kubernetes: third_party/forked/golang/expansion): `$$` and `$(NAME)`."""
    out, rest = "", value
    while rest:
        if rest.startswith("$$"):
            out, rest = out + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            name, _, rest = rest[2:].partition(")")
            out += environ.get(name, f"$({name})")
        else:
            out, rest = out + rest[0], rest[1:]
    return out


def test_kuberay_gets_every_value_unchanged_and_refers_to_a_secret(in_nemo_run: InNemoRun) -> None:
    seen = in_nemo_run('answer(build("kuberay").get_cluster_body("cluster"))')
    assert KEY not in json.dumps(seen)
    groups = [seen["spec"]["headGroupSpec"], *seen["spec"]["workerGroupSpecs"]]
    assert len(groups) == 2
    for group in groups:
        container = group["template"]["spec"]["containers"][0]
        variables = {item["name"]: kubelet(item["value"], {"HOME": "/root"}) for item in container["env"]}
        assert {name: variables[name] for name in VALUES} == VALUES
        folder, _, name = variables["WANDB_API_KEY_FILE"].rpartition("/")
        [mount] = container["volumeMounts"]
        [volume] = group["template"]["spec"]["volumes"]
        assert (name, mount["mountPath"], mount["name"]) == ("WANDB_API_KEY", folder, volume["name"])
        assert volume["secret"] == {"secretName": "w"}


# a profile's fields that are wrong, beside PROFILES[kind]; words of the message
MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("slurm", {"acount": "x"}, 'slurm profiles have no field "acount"; did you mean "account"?'),
    ("slurm", {"nodes": "2"}, '"nodes" must be a whole number, found text'),
    ("slurm", {"container": "x"}, '"container" and "container_image" mean the same: keep one'),
    ("slurm", {"account": ""}, "a slurm profile needs account"),
    ("slurm", {"tunnel": "shh"}, 'unknown tunnel "shh"; did you mean "ssh"?'),
    ("slurm", {"host": "login"}, 'tunnel = "ssh" needs user, remote_job_dir'),
    ("docker", {"nodes": 2}, 'docker profiles have no field "nodes"'),
    ("kuberay", {"container_kwargs": {"env": []}}, '"env" in container_kwargs replaces all other variables'),
    ("kuberay", {"spec_kwargs": {"volumes": []}}, '"volumes" in spec_kwargs replaces all other volumes: use volumes'),
    ("skypilot", {"packager": object}, "nemo-run refuses: Only GitArchivePackager"),
    ("kubeflow", {"pod_spec_overrides": {"volumes": []}}, '"volumes" in pod_spec_overrides replaces all other volumes'),
    ("docker", {"wandb_secret": "w"}, 'docker profiles have no field "wandb_secret"'),
    ("docker", {"network": "a\0b"}, '"network" holds a NUL character'),
    ("slurm", {"packager": "gti"}, 'unknown packager "gti"; did you mean "git"?'),
    ("slurm", {"packager": "pattern"}, "needs packager_include_pattern"),
    ("slurm", {"packager": "hybrid"}, '"hybrid" needs its parts'),
    ("kubernetes", {}, 'unknown executor "kubernetes"'),
]


def test_mistakes_in_a_profile_are_named(environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun) -> None:
    program = """
import nemo_run as run
from launcher.errors import LauncherError
def attempt(kind, fields):
    if "object" in fields.get("packager", ""):
        fields = {"packager": run.Packager()}
    profile = {"executor": kind, **GIVEN["profiles"].get(kind, {}), **fields}
    try:
        build_executor(profile, env={"WANDB_PROJECT": "p"}, verify=False)
    except LauncherError as error:
        return str(error)
answer([attempt(kind, fields) for kind, fields in GIVEN["mistakes"]])
"""
    mistakes = [
        (kind, {name: str(v) if v is object else v for name, v in fields.items()}) for kind, fields, _ in MISTAKES
    ]
    given = {"profiles": PROFILES, "mistakes": mistakes}
    messages = in_nemo_run(program, GIVEN=json.dumps(given))
    for (kind, fields, words), message in zip(MISTAKES, messages, strict=True):
        assert words in (message or ""), (kind, fields, message)


def test_kubeflow_gets_every_value_unchanged_and_mounts_a_secret(in_nemo_run: InNemoRun) -> None:
    program = """
executor = assigned(build("kubeflow"))
executor.materialize_launch_script(["python", "train.py"])
answer({"body": executor.get_job_body("job", ["true"]), "script": open(executor.job_dir + "/launch.sh").read()})
"""
    seen = in_nemo_run(program)
    assert KEY not in json.dumps(seen)
    spec = seen["body"]["spec"]
    variables = {item["name"]: kubelet(item["value"], {"HOME": "/root"}) for item in spec["trainer"]["env"]}
    assert {name: variables[name] for name in VALUES} == VALUES
    assert not [name for name in VALUES if f"export {name}=" in seen["script"]], "a shell would read them again"
    folder, _, name = variables["WANDB_API_KEY_FILE"].rpartition("/")
    pod = spec["podTemplateOverrides"][0]["spec"]
    [mount], [volume] = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert (name, mount["mountPath"], mount["name"]) == ("WANDB_API_KEY", folder, volume["name"])
    assert volume["secret"] == {"secretName": "w"}


def test_what_nemotrons_profiles_write_is_taken(in_nemo_run: InNemoRun) -> None:
    program = """
profile = {"executor": "slurm", "account": "a", "nemo_run_dir": "/lustre/team", "packager": "git",
           "startup_commands": ["echo 1", "echo 2"], "setup_lines": "echo 0",
           "env_vars": {"PLACE": "${oc.env:PLACE}/x", "OTHER": "${oc.env:NOT_SET,there}"}}
os.environ["PLACE"] = "/here"
executor = build_executor(profile, env={"WANDB_PROJECT": "p", "WANDB_MODE": "offline"}, verify=False)
answer([type(executor.packager).__name__, executor.tunnel.job_dir, executor.setup_lines, executor.env_vars])
"""
    packager, job_dir, lines, env = in_nemo_run(program)
    assert (packager, job_dir, lines) == ("GitArchivePackager", "/lustre/team", "echo 0\necho 1\necho 2")
    assert (env["PLACE"], env["OTHER"]) == ("/here/x", "there")


def test_other_secrets_travel_with_the_key_where_that_can_be(
    environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun
) -> None:
    program = """
def look(kind, **more):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        executor = build(kind, env_vars={"HF_TOKEN": "hf_se cret", "A": "b"}, **more)
    said = [str(item.message) for item in caught if "HF_TOKEN" in str(item.message)]
    return {"said": said, "dump": repr(executor), "env": executor.env_vars}
os.environ["HF_TOKEN"] = "hf_se cret"
answer({"slurm": look("slurm"), "docker": look("docker"), "local": look("local")})
"""
    seen = in_nemo_run(program)
    for kind in ("slurm", "local"):
        assert "hf_se" not in seen[kind]["dump"], kind
        assert seen[kind]["said"] == [], kind
        assert seen[kind]["env"]["A"] == "b", kind
    folder = Path(seen["slurm"]["env"]["WANDB_API_KEY_FILE"]).parent
    assert (folder / "variables").read_text() == "export HF_TOKEN='hf_se cret'\n"
    assert (folder / "variables").stat().st_mode & 0o777 == 0o600
    assert "HF_TOKEN" in seen["slurm"]["dump"], "a container is to have it"
    assert len(seen["docker"]["said"]) == 1


def test_a_missing_package_is_named_with_the_pip_command(environ: dict[str, str], tmp_path: Path) -> None:
    program = """
sys.modules["sky"] = sys.modules["kubernetes"] = None
from launcher.errors import LauncherError
messages = []
for kind in ("skypilot", "kuberay"):
    try:
        build(kind)
    except LauncherError as error:
        messages.append(str(error))
sys.modules["nemo_run"] = None
answer(messages)
"""
    done = subprocess.run(
        [python_of("launcher"), "-c", PROLOGUE + program],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    skypilot, kuberay = answer_of(done)
    assert 'pip install "nemo-run[skypilot]==0.11.1" "leptonai<0.28"' in skypilot
    assert 'pip install "nemo-run[ray]==0.11.1" "leptonai<0.28"' in kuberay


def test_overrides_win_whichever_name_the_profile_uses(in_nemo_run: InNemoRun) -> None:
    program = """
executor = build_executor({"executor": "docker", "container": "a", "gpus_per_node": 1},
                          env={"WANDB_PROJECT": "p"}, verify=False, container_image="b", num_gpus=4)
answer([executor.container_image, executor.num_gpus, executor.env_vars["WANDB_DOCKER"]])
"""
    assert in_nemo_run(program) == ["b", 4, "b"]


def test_a_job_that_brings_its_own_key_file_gets_no_other(
    environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun
) -> None:
    program = """
import dataclasses
def look(kind):
    GIVEN["profiles"][kind].pop("wandb_secret", None)
    executor = build(kind, env_vars={"WANDB_API_KEY_FILE": "/in/the/job"})
    env = executor.env_vars or {item["name"]: item["value"] for item in executor.env_list}
    return [env["WANDB_API_KEY_FILE"], repr(executor)]
answer({kind: look(kind) for kind in GIVEN["profiles"]})
"""
    for kind, (path, dump) in in_nemo_run(program).items():
        assert path == "/in/the/job", kind
        assert "secretName" not in dump, kind
        assert "/run/secrets" not in dump, kind
        assert "wandb_shim_end" not in dump, kind
        assert "WANDB_API_KEY'" not in dump, kind


def test_an_ssh_tunnel_is_built_from_the_profile(in_nemo_run: InNemoRun, environ: dict[str, str]) -> None:
    program = """
profile = {"executor": "slurm", "account": "a", "tunnel": "ssh", "host": "login", "user": "me", "port": 2222,
           "identity": "~/.ssh/id", "remote_job_dir": "/lustre/me", "lustre_mount": "/lustre:/lustre",
           "container_image": "i", "build_time": "00:10:00"}
tunnel = build_executor(profile, env={"WANDB_PROJECT": "p", "WANDB_MODE": "offline"}, verify=False).tunnel
answer([type(tunnel).__name__, tunnel.host, tunnel.user, tunnel.port, tunnel.identity, tunnel.job_dir])
"""
    home = environ["HOME"]
    assert in_nemo_run(program) == [
        "SSHTunnel",
        "login",
        "me",
        2222,
        f"{home}/.ssh/id",
        "/lustre/me",
    ]


def test_a_warning_says_what_remains_readable(environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun) -> None:
    program = """
def warned(kind, **more):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(kind, **more)
    return [str(item.message) for item in caught if item.category.__name__ == "LauncherWarning"]
answer([warned("skypilot"), warned("dgxcloud", wandb_secret=""), warned("docker", env_vars={"HF_TOKEN": "x"}),
        warned("slurm")])
"""
    skypilot, dgxcloud, token, slurm = in_nemo_run(program)
    assert len(skypilot) == 1
    assert "stays on the cluster" in skypilot[0]
    assert len(dgxcloud) == 1
    assert "plain variable of the pod" in dgxcloud[0]
    assert "HF_TOKEN" in token[0]
    assert slurm == []
