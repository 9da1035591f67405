"""What baking adds to an image, what it leaves out, and when it refuses."""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests import containers
from tests.containers import ContainerJob, run_docker
from tests.environments import REPOSITORY
from tests.wandb_server.server import API_KEY

pytestmark = pytest.mark.xdist_group("docker")

ADDED_BYTES = 2_000_000


def size_of(image: str) -> int:
    return int(run_docker("image", "inspect", "--format", "{{.Size}}", image).stdout)


def layers_of(image: str) -> int:
    return int(run_docker("image", "inspect", "--format", "{{len .RootFS.Layers}}", image).stdout)


def test_baking_adds_one_small_layer() -> None:
    base, baked = containers.base_image(), containers.baked_image(wandb=False)
    assert layers_of(baked) == layers_of(base) + 1
    assert 0 < size_of(baked) - size_of(base) < ADDED_BYTES


@pytest.mark.parametrize(
    ("options", "wheels", "said"),
    [
        (("--build-arg", "PYTHON=python9"), (), r"PYTHON=python9 is not on the PATH of {base}: name another"),
        ((), ("pip-*", "wandb-*"), r"WHEELS= lacks a wheel for Python 3\.11\.\d+ of {base}"),
        ((), (), r"BAD wandb +not installed(?s:.*)jobs of {base} would not be tracked: WHEELS=DIR puts wandb in"),
    ],
    ids=["no such interpreter", "wheels missing", "no wandb"],
)
def test_an_image_that_is_not_built_says_what_to_do(
    tmp_path: Path, options: tuple[str, ...], wheels: tuple[str, ...], said: str
) -> None:
    for pattern in wheels:
        for wheel in containers.wheels().glob(f"{pattern}.whl"):
            (tmp_path / wheel.name).symlink_to(wheel)
    base = containers.base_image()
    with pytest.raises(RuntimeError) as failed:
        containers.bake(base, "wandb-shim-test:refused", *options, wheels=tmp_path if wheels else None)
    assert re.search(said.format(base=re.escape(base)), str(failed.value))


STRIP = """\
FROM {base}
RUN ["python3", "-c", "import glob, os; [os.remove(path) for path in glob.glob('/usr/bin/*sh')]"]
ENTRYPOINT ["/usr/bin/python3"]
"""


@pytest.mark.matrix
def test_an_image_without_a_shell_is_tracked_by_the_recipe_of_the_docs(
    job: ContainerJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    text = (REPOSITORY / "docs" / "quickstart.md").read_text()
    (recipe,) = re.findall(r"^```dockerfile\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    shutil.copytree(containers.wheels(), tmp_path / "context")
    (pip,) = (tmp_path / "context").glob("pip-*.whl")
    shell_less = f"wandb-shim-test-shell-less:{job.project}"
    replaced = {
        "python:3.11-slim-bookworm": containers.base_image(),
        "RUN pip install": f"RUN --mount=type=bind,target=/wheels python3 /wheels/{pip.name}/pip install "
        "--no-index --find-links /wheels",
        "gcr.io/distroless/python3-debian12": f"{shell_less}-base",
        "nemo-tracked": containers.baked_image(wandb=False),
    }
    for old, new in replaced.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    try:
        build(STRIP.format(base=containers.base_image()), f"{shell_less}-base", tmp_path / "context")
        build(recipe, shell_less, tmp_path / "context")
        job.write("train.py", "print('trained')\n")
        assert job.run(shell_less, "train.py").stdout == "trained\n"
        assert job.run(shell_less, "-m", "shim", "doctor", "--strict").returncode == 0
        with pytest.raises(RuntimeError, match=r"/bin/sh"):
            job.run(shell_less, "-c", "true", options=("--entrypoint", "/bin/sh"))
    finally:
        run_docker("rmi", "--force", shell_less, f"{shell_less}-base", check=False)
    assert job.only_run()["state"] == "finished"


def build(dockerfile: str, image: str, context: Path) -> None:
    place = context.with_name("Dockerfile")
    place.write_text(dockerfile)
    run_docker("build", "--network", "none", "--file", place, "--tag", image, context)


def test_nothing_but_the_shim_and_its_doors_is_left_in_the_image(tmp_path: Path) -> None:
    name = f"wandb-shim-test-{tmp_path.name}"
    run_docker("create", "--name", name, containers.baked_image(wandb=False))
    try:
        run_docker("export", "--output", tmp_path / "baked.tar", name)
    finally:
        run_docker("rm", name)
    run_docker("create", "--name", name, containers.base_image())
    try:
        run_docker("export", "--output", tmp_path / "base.tar", name)
    finally:
        run_docker("rm", name)
    files = {}
    for image in ("base", "baked"):
        with tarfile.open(tmp_path / f"{image}.tar") as archive:
            files[image] = {member.name for member in archive if not member.isdir()}
    added = {name for name in files["baked"] - files["base"] if not name.startswith("opt/wandb-shim/")}
    # Debian's own sitecustomize under another name, and perhaps its bytecode; ours is where it was.
    kept = "wandb_shim_displaced_sitecustomize"
    assert {name for name in added if kept not in name} == set()
    assert f"usr/lib/python3.11/{kept}.py" in added
    assert files["base"] - files["baked"] == set()
    home = {name.split("/")[2] for name in files["baked"] if name.startswith("opt/wandb-shim/")}
    assert home == {"shim", "vendor", "sitecustomize.py", "doors.json", "run", "__pycache__"}


def test_no_key_is_in_the_image_or_its_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)  # of whoever builds it
    image = f"wandb-shim-test-key:{re.sub('[^a-z0-9]', '', tmp_path.name)}"
    containers.bake(containers.base_image(), image, strict=False)
    try:
        said = run_docker("history", "--no-trunc", image).stdout + run_docker("image", "inspect", image).stdout
        run_docker("save", "--output", tmp_path / "image.tar", image)
    finally:
        run_docker("rmi", image)
    assert API_KEY not in said
    data = (tmp_path / "image.tar").read_bytes()  # layers are stored uncompressed
    assert b"wandb-shim" in data
    assert API_KEY.encode() not in data


@pytest.mark.parametrize("target", ["python", "megatron-bridge", "nemo-rl"])
def test_the_bake_file_names_what_the_dockerfile_takes(target: str) -> None:
    text = (REPOSITORY / "docker" / "docker-bake.hcl").read_text()
    (block,) = re.findall(rf'^target "{target}" {{\n(.*?)^}}', text, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"^ +([A-Z_]+) += ", block, re.MULTILINE))
    taken = set(re.findall(r"^ARG ([A-Z_]+)", (REPOSITORY / "docker" / "Dockerfile").read_text(), re.MULTILINE))
    assert "BASE_IMAGE" in named
    assert named <= taken
