"""The files of examples/ that need an image: Docker starts what Kubernetes, pyxis and Apptainer would start."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import containers
from tests.containers import SERVER, ContainerJob, packages_of, run_docker
from tests.engine import docker
from tests.environments import REPOSITORY
from tests.wandb_server.server import API_KEY

pytestmark = pytest.mark.xdist_group("docker")

EXAMPLES = REPOSITORY / "examples"
TRAIN = "import os\nprint('trained', 'WANDB_API_KEY' in os.environ)\n"


@pytest.fixture
def host(job: ContainerJob, tmp_path: Path) -> Path:
    """The home of a user with a key; the job has a script."""
    job.write("train.py", TRAIN)
    (tmp_path / ".wandb-key").touch(0o600)
    (tmp_path / ".wandb-key").write_text(f"{API_KEY}\n")
    return tmp_path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim as `--home-only` makes it."""
    place = tmp_path_factory.mktemp("home") / "wandb-shim"
    containers.make_home(place)
    return place


@pytest.fixture(scope="module")
def untracked(baked: str) -> Iterator[str]:
    """An image with wandb and no shim."""
    image = f"wandb-shim-test-untracked:{os.getpid()}"
    container = run_docker("create", baked, "python3", "-m", "shim", "uninstall").stdout.strip()
    try:
        run_docker("start", "--attach", container)
        run_docker("commit", "--change", "ENV PYTHONPATH=", "--change", 'CMD ["python3"]', container, image)
        yield image
    finally:
        run_docker("rm", "--force", container, check=False)
        run_docker("rmi", image, check=False)


def the_script_is_one_run(job: ContainerJob, attempts: int = 1) -> None:
    run = job.only_run()
    assert (run["program"], run["state"], run["exit_code"]) == ("/job/train.py", "finished", 0)
    assert run["console_text"].splitlines() == ["trained False"] * attempts


def test_the_dockerfile_bakes_and_its_line_tracks(
    job: ContainerJob, host: Path, home: Path, untracked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    context = tmp_path / "context"
    shutil.copytree(home, context / "wandb-shim")
    text = (EXAMPLES / "docker" / "Dockerfile").read_text()
    (context / "Dockerfile").write_text(text)
    image = f"wandb-shim-test-example:{job.project}"
    comment = re.sub(r"^# *", "", text, flags=re.MULTILINE).replace("\\\n", "")
    (line,) = re.findall(r"^docker run .* nemo-tracked .*$", comment, re.MULTILINE)
    for old, new in {
        "nemo-tracked": image,
        "nemotron": job.project,
        "docker run": f"{docker()} run --network {job.cluster.network} --env WANDB_BASE_URL={SERVER}",
    }.items():
        assert old in line
        line = line.replace(old, new)
    build = ("build", "--network", "none", "--build-arg", f"BASE_IMAGE={untracked}", "--tag", image, context)
    try:
        run_docker(*build)
        variables = {**os.environ, "HOME": str(host)}
        done = subprocess.run(
            ["bash", "-c", line], cwd=job.directory, env=variables, capture_output=True, text=True, check=False
        )
    finally:
        run_docker("rmi", image, check=False)
    assert (done.returncode, done.stdout) == (0, "trained False\n"), done.stderr
    the_script_is_one_run(job)


def test_compose_brings_the_key_as_its_secret(
    job: ContainerJob, host: Path, baked: str, docker_compose_command: str, tmp_path: Path
) -> None:
    names = {"WANDB_PROJECT": job.project, "WANDB_BASE_URL": SERVER}
    here = {
        "services": {"train": {"image": baked, "environment": names, "networks": ["wandb"]}},
        "networks": {"wandb": {"external": True, "name": job.cluster.network}},
    }
    (tmp_path / "here.yaml").write_text(json.dumps(here))
    files = [EXAMPLES / "compose" / "compose.yaml", tmp_path / "here.yaml"]
    command = [*docker_compose_command.split(), "--project-name", f"example{job.project}"]
    command += ["--project-directory", str(job.directory), *(word for file in files for word in ("-f", str(file)))]
    variables = {**os.environ, "HOME": str(host)}
    try:
        done = subprocess.run(
            [*command, "up", "--exit-code-from", "train"], env=variables, capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run([*command, "down", "--timeout", "1"], env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained False" in done.stdout
    the_script_is_one_run(job)


def options_of(container: Mapping[str, Any], volumes: Mapping[str, Path], project: str) -> list[str]:
    """A container of a pod's, as options of `docker run`."""
    words = []
    for variable in container.get("env", ()):
        value = project if variable["name"] == "WANDB_PROJECT" else variable.get("value", f"uid-of-{project}")
        words += ["--env", f"{variable['name']}={value}"]
    for mount in container["volumeMounts"]:
        source = volumes[mount["name"]] / mount.get("subPath", "")
        words += ["--volume", f"{source}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
    return words


def run_pod(
    job: ContainerJob, file: str, images: Mapping[str, list[str]], places: Mapping[str, Path], code: int = 0
) -> None:
    """Run the pod of a Kubernetes job's file, its containers one after the other.

    Args:
        job: Where.
        file: Name of the file.
        images: For each image that the file names, what it is here, and options of `docker run` in front.
        places: Directories for its volumes.
        code: The exit code of the job's own container.
    """
    pod = yaml.safe_load((EXAMPLES / "kubernetes" / file).read_text())["spec"]["template"]["spec"]
    assert {volume["name"] for volume in pod["volumes"]} == places.keys()
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        *options, image = images[container["image"]]
        options += options_of(container, places, job.project)
        words = ["--env", f"WANDB_BASE_URL={SERVER}", "--network", job.cluster.network, "--workdir", "/job"]
        words += ["--volume", f"{job.directory}:/job", *options, image, *container["command"]]
        done = run_docker("run", "--rm", *words, check=False)
        expected = (code, "trained False\n") if container["name"] == "train" else (0, "")
        assert (done.returncode, done.stdout) == expected, done.stderr


@pytest.fixture
def secret(host: Path) -> Path:
    """The secret of `kubectl create secret`, as a pod has it mounted."""
    (host / "secret").mkdir()
    return Path(shutil.copy(host / ".wandb-key", host / "secret" / "WANDB_API_KEY")).parent


def test_the_next_pod_of_a_kubernetes_job_goes_on_in_its_run(job: ContainerJob, secret: Path, baked: str) -> None:
    for last, code in (("sys.exit(3)", 3), ("", 0)):
        job.write("train.py", f"{TRAIN}import sys\n{last}\n")
        run_pod(job, "job.yaml", {"nemo-tracked": [baked]}, {"key": secret}, code)
    the_script_is_one_run(job, attempts=2)


def test_an_init_container_brings_the_shim_to_an_image_without_a_shell(
    job: ContainerJob, secret: Path, baked: str, tmp_path: Path
) -> None:
    shells = ("sh", "bash", "dash")
    image = f"wandb-shim-test-shellless:{job.project}"
    (tmp_path / "shim").mkdir()
    container = run_docker(
        "create", containers.base_image(), "rm", *(f"/bin/{shell}" for shell in shells)
    ).stdout.strip()
    try:
        run_docker("start", "--attach", container)
        run_docker("commit", "--change", 'CMD ["python3"]', container, image)
        assert run_docker("run", "--rm", image, "sh", "-c", ":", check=False).returncode == 127
        images = {"nemo-tracked": [baked], "any-image-with-python": [*packages_of("wandb-3.11"), image]}
        run_pod(job, "init-container.yaml", images, {"shim": tmp_path / "shim", "key": secret})
    finally:
        run_docker("rm", "--force", container, check=False)
        run_docker("rmi", image, check=False)
    the_script_is_one_run(job)


def test_a_volume_of_kubernetes_has_the_shim(job: ContainerJob, secret: Path, home: Path) -> None:
    images = {"any-image-with-python": [*packages_of("wandb-3.11"), containers.base_image()]}
    run_pod(job, "mount.yaml", images, {"shared": home.parent, "key": secret})
    the_script_is_one_run(job)


@pytest.mark.matrix
def test_apptainers_file_bakes_what_it_is_given(job: ContainerJob, home: Path, untracked: str) -> None:
    _, *rest = re.split(r"^%(\w+)\n", (EXAMPLES / "apptainer" / "job.def").read_text(), flags=re.MULTILINE)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    source, target = sections["files"].split()
    assert source == home.name
    job.write("train.py", TRAIN)
    job.write("all.sh", f"({sections['post']}) >/dev/null\n{sections['environment']}\nexec python3 train.py\n")
    variables = job.options({"WANDB_API_KEY_FILE": "/job/.wandb-key"}, key=False)
    job.write(".wandb-key", API_KEY)
    container = run_docker("create", *variables, untracked, "sh", "-e", "all.sh").stdout.strip()
    try:
        run_docker("cp", home, f"{container}:{target}")
        done = run_docker("start", "--attach", container)
    finally:
        run_docker("rm", "--force", container, check=False)
    assert done.stdout == "trained False\n"
    the_script_is_one_run(job)


# In place of Slurm's srun with pyxis: what it was asked for, and the variables that it would take along.
SRUN = """\
#!/usr/bin/env python3
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


def test_what_pyxis_is_asked_for_tracks_the_script(job: ContainerJob, host: Path, baked: str) -> None:
    (host / "bin").mkdir()
    (host / "bin" / "srun").write_text(SRUN)
    (host / "bin" / "srun").chmod(0o755)
    variables = {"HOME": str(host), "PATH": f"{host}/bin:{os.environ['PATH']}"}
    script = ["bash", str(EXAMPLES / "slurm" / "pyxis.sbatch")]
    done = subprocess.run(script, cwd=job.directory, env=variables, capture_output=True, text=True, check=True)
    words, environ = json.loads(done.stdout)
    asked = dict(word.removeprefix("--container-").split("=", 1) for word in words if word.startswith("--"))
    assert asked.keys() == {"image", "mounts", "workdir", "env"}
    assert asked["image"] == f"{host}/nemo-tracked.sqsh"
    options = ["--workdir", asked["workdir"], "--network", job.cluster.network]
    for mount in asked["mounts"].split(","):
        options += ["--volume", mount]
    for name in asked["env"].split(","):
        options += ["--env", f"{name}={job.project if name == 'WANDB_PROJECT' else environ[name]}"]
    command = [word for word in words if not word.startswith("--")]
    done = run_docker("run", "--rm", *options, "--env", f"WANDB_BASE_URL={SERVER}", baked, *command)
    assert done.stdout == "trained False\n"
    the_script_is_one_run(job)
