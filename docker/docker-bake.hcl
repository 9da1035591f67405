# docker buildx bake -f docker/docker-bake.hcl TARGET, once the context is there:
#   python -m shim install --home-only --home build/image
# and, for an image without wandb: pip download --dest build/image/wheels wandb pip

variable "CONTEXT" { default = "build/image" }
variable "TAG" { default = "latest" }

group "default" { targets = ["python"] }

target "common" {
  context    = CONTEXT
  dockerfile = "${BAKE_CMD_CONTEXT}/docker/Dockerfile"
  network    = "none"
}

target "python" {
  inherits = ["common"]
  args = {
    BASE_IMAGE = "python:3.12-slim"
  }
  tags = ["wandb-shim/python:${TAG}"]
}

# NeMo's image: wandb and Megatron-Bridge are in /opt/venv, which is on its PATH.
target "megatron-bridge" {
  inherits = ["common"]
  args = {
    BASE_IMAGE = "nvcr.io/nvidia/nemo:26.02"
    PYTHON     = "python"
  }
  tags = ["wandb-shim/megatron-bridge:${TAG}"]
}

# Python is uv's own, jobs run in /opt/nemo_rl_venv, and Ray's workers in environments made from the same Python.
target "nemo-rl" {
  inherits = ["common"]
  args = {
    BASE_IMAGE = "nvcr.io/nvidia/nemo-rl:v0.7.0"
    PYTHON     = "python"
  }
  tags = ["wandb-shim/nemo-rl:${TAG}"]
}
