"""What a run should be called and where it belongs: the one value that scripts, shim and launcher share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import environment


@dataclass(frozen=True)
class WandbConfig:
    """Settings of a W&B run; unset fields are left to W&B's own environment variables and defaults.

    Attributes:
        project: Project of the run. Tracking is on exactly when this is set.
        entity: Team or user that owns the project; W&B's default entity when None.
        run_name: Display name; W&B makes one up when None.
        tags: Tags of the run.
        notes: A longer description.
        group: Group that the run is shown in.
        job_type: "train", "eval", …
    """

    project: str | None = None
    entity: str | None = None
    run_name: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    group: str | None = None
    job_type: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether a run is wanted at all: true when `project` is set."""
        return bool(self.project)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> WandbConfig:
        """Read W&B's own variables; WANDB_GROUP counts where WANDB_RUN_GROUP is not set."""
        return cls(
            project=environ.get(environment.PROJECT) or None,
            entity=environ.get(environment.ENTITY) or None,
            run_name=environ.get(environment.NAME) or None,
            tags=environment.comma_separated(environ.get(environment.TAGS, "")),
            notes=environ.get(environment.NOTES) or None,
            group=environ.get(environment.GROUP) or environ.get(environment.GROUP_ALIAS) or None,
            job_type=environ.get(environment.JOB_TYPE) or None,
        )
