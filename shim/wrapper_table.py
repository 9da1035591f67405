"""Programs that run another one and so stand in front of a job's command, with their options, by their manuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wrapper:
    """A program that runs another one.

    Attributes:
        words: Words of which one stands between its name and its options: `run` of `uv run`.
        values: Options that take the next word as their value.
        pairs: Options that take the next two words.
        positional: How many words of its own follow the options: 1 for the duration of `timeout`.
        ranks: Where it starts several processes: the variables that tell the first of two which it is.
    """

    words: tuple[str, ...] = ()
    values: frozenset[str] = frozenset()
    pairs: frozenset[str] = frozenset()
    positional: int = 0
    ranks: Mapping[str, str] = field(default_factory=dict)

    def taken(self, option: str) -> int:
        """How many of the words that follow an option belong to it."""
        return 2 if option in self.pairs else int(option in self.values)


def _options(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SLURM_RANK = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0", "SLURM_LOCALID": "0"}
_OPEN_MPI_RANK = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
# srun, salloc and sbatch, with the options of pyxis.
_SLURM_VALUES = _options(
    "-n --ntasks -N --nodes -c --cpus-per-task -p --partition -A --account -t --time -J --job-name -o --output -e "
    "--error -w --nodelist -x --exclude -D --chdir -G --gpus --mem -m --distribution -q --qos -C --constraint --gres "
    "--export --mpi --cpu-bind --mem-bind --gpu-bind --ntasks-per-node --ntasks-per-gpu --gpus-per-node "
    "--gpus-per-task --mem-per-cpu --mem-per-gpu --cpus-per-gpu --open-mode -i --input -d --dependency --jobid -r "
    "--relative -L --licenses --reservation --signal -W --wait --het-group --network --threads-per-core -a --array "
    "--container-image --container-mounts --container-workdir --container-name --container-env --container-save"
)
_MPI_VALUES = _options(
    "-n -np --np -c -N -H -host --host -hosts -hostfile --hostfile -machinefile -f -ppn -perhost -npernode --npernode "
    "-map-by --map-by -bind-to --bind-to -rank-by --rank-by -x -wdir --wdir -output-filename -envlist"
)
_MPI = Wrapper(values=_MPI_VALUES, pairs=_options("-mca --mca -gmca --gmca -genv -env --prtemca"), ranks=_OPEN_MPI_RANK)
_IN_CONDA = Wrapper(("run",), _options("-n --name -p --prefix --cwd -e --env"))
_NSYS_VALUES = _options(
    "-o --output -t --trace -s --sample -c --capture-range -d --duration -y --delay -w --show-output -f "
    "--force-overwrite -x --stop-on-exit --stats -b --backtrace -e --env-var -n --inherit-environment --kill "
    "--capture-range-end --cuda-memory-usage --cudabacktrace --python-sampling --python-backtrace --gpu-metrics-devices"
)

WRAPPERS: Mapping[str, Wrapper] = {
    # Shells' own, coreutils and util-linux.
    **dict.fromkeys(("nohup", "setsid", "command", "eval", "builtin", "unbuffer", "catchsegv", "catatonit"), Wrapper()),
    "exec": Wrapper(values=_options("-a")),
    "time": Wrapper(values=_options("-f -o --format --output")),
    "nice": Wrapper(values=_options("-n --adjustment")),
    "ionice": Wrapper(values=_options("-c -n --class --classdata")),
    **dict.fromkeys(("chrt", "taskset", "chroot"), Wrapper(positional=1)),
    "stdbuf": Wrapper(values=_options("-i -o -e")),
    "timeout": Wrapper(values=_options("-s -k --signal --kill-after"), positional=1),
    "flock": Wrapper(values=_options("-w --timeout --wait -E --conflict-exit-code"), positional=1),
    "prlimit": Wrapper(),
    "unshare": Wrapper(values=_options("-S --setuid -G --setgid -R --root -w --wd")),
    "numactl": Wrapper(
        values=_options("-C -m -N -i -p --physcpubind --membind --cpunodebind --interleave --preferred")
    ),
    "xargs": Wrapper(values=_options("-n -P -I -L -a -d -s -E --max-args --max-procs --arg-file --delimiter")),
    "xvfb-run": Wrapper(values=_options("-n -s -e -f -p -w --server-num --server-args --error-file --auth-file")),
    "systemd-run": Wrapper(values=_options("-p --property -u --unit --slice -E --setenv --uid --gid")),
    # Users and containers' inits.
    "sudo": Wrapper(values=_options("-u -g -C -D --user --group --chdir")),
    "runuser": Wrapper(values=_options("-u --user -g --group")),
    **dict.fromkeys(("gosu", "su-exec", "s6-setuidgid", "setuidgid"), Wrapper(positional=1)),
    "chpst": Wrapper(values=_options("-u -U -e -n -l -L -m -d -o -p -f -c -t")),
    "setpriv": Wrapper(values=_options("--reuid --regid --groups --inh-caps --bounding-set --securebits --pdeathsig")),
    "tini": Wrapper(values=_options("-p -e")),
    "dumb-init": Wrapper(values=_options("-r --rewrite")),
    # Debuggers and profilers.
    "strace": Wrapper(values=_options("-e -o -p -s -P -u")),
    "valgrind": Wrapper(),
    "gdb": Wrapper(values=_options("-ex -iex -x -ix -eval-command --eval-command --command -cd")),
    "perf": Wrapper(("record", "stat"), _options("-o --output -e --event -F --freq -c --count --call-graph")),
    "nsys": Wrapper(("profile", "launch"), _NSYS_VALUES),
    "ncu": Wrapper(
        values=_options("-o --export -k --kernel-name -c --launch-count -s --launch-skip --set --section --metrics")
    ),
    "compute-sanitizer": Wrapper(values=_options("--tool --log-file --save --target-processes --launch-timeout")),
    "cuda-memcheck": Wrapper(values=_options("--tool --log-file --save")),
    "py-spy": Wrapper(("record", "top"), _options("-o --output -r --rate -d --duration -f --format")),
    "rocprof": Wrapper(values=_options("-o -i -d -t")),
    **dict.fromkeys(("rocprofv2", "rocprofv3", "omnitrace-run"), Wrapper(values=_options("-o -i -d -t --output-file"))),
    # Schedulers and MPI.
    "srun": Wrapper(values=_SLURM_VALUES, ranks=_SLURM_RANK),
    "salloc": Wrapper(values=_SLURM_VALUES),
    "sbatch": Wrapper(values=_SLURM_VALUES),
    **dict.fromkeys(("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun"), _MPI),
    "jsrun": Wrapper(values=_options("-n -a -c -g -r -b -d -l -p -E --nrs --np --bind --env"), ranks=_OPEN_MPI_RANK),
    # Environments.
    "uv": Wrapper(
        ("run",),
        _options(
            "--with --with-editable --with-requirements --extra --group --only-group --python -p --env-file --project "
            "--directory --package --index --index-url --cache-dir"
        ),
    ),
    **dict.fromkeys(("conda", "mamba", "micromamba"), _IN_CONDA),
    "pixi": Wrapper(("run",), _options("-e --environment --manifest-path")),
    "pdm": Wrapper(("run",), _options("-p --project")),
    **dict.fromkeys(("poetry", "hatch", "pipenv", "rye"), Wrapper(("run",))),
}

# Of the above, those that may be given the command as one text, with the options that come before the text.
TEXTS = {"flock": ("-c", "--command"), "sbatch": ("--wrap",), "runuser": ("-c", "--command")}
SHELLS = ("sh", "bash", "dash", "zsh", "ksh")

# Programs that start a command on another machine or in another image, where another Python runs it.
ELSEWHERE = frozenset(
    {
        *("docker", "podman", "nerdctl", "apptainer", "singularity", "enroot", "ch-run", "kubectl", "oc", "ssh"),
        *("pdsh", "qsub", "bsub", "flux", "aprun", "condor_submit", "gcloud", "aws", "az"),
    }
)
