"""What baking adds to an image, what it leaves out, and when it refuses."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from tests import containers
from tests.containers import run_docker
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


def test_an_image_that_would_not_track_does_not_build() -> None:
    with pytest.raises(RuntimeError, match=r"BAD wandb +not installed"):
        containers.bake(containers.base_image(), "wandb-shim-test:refused", wandb=False, strict=True)


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
    containers.bake(containers.base_image(), image, wandb=False)
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
