# shellcheck shell=bash disable=SC2064
# Lines of a job's sbatch script: they unset a WANDB_API_KEY that sbatch took along from a login node (the file has
# it, and nemo-run's Ray template writes the output of `env` to its log), and remove the folder of the key when it is
# no longer needed.
#
# All jobs that one executor was built for share the folder: tasks of an experiment, a chain, an array. It goes when
#  - this job has ended for good: Slurm counts no restart more than this run was started with (the exit status cannot
#    tell: after SIGTERM bash shows the trap that of the last command),
#  - the launching process has ended (`closed`), so that nothing more is submitted with it,
#  - no job that waits or runs has a script that names the folder.
# Each says what it has done before it looks at the others (`done.*`, `closed`), so that the last one sees all. Where
# Slurm gives no answer the folder stays, for the sweep by the next launch after 30 days.
#
# The EXIT trap stays where later lines set their own (nemo-run's Ray template does) and runs in the batch shell only.
# Tracing is off meanwhile, to keep the log readable; the key itself never passes the shell.
_wandb_shim_flags=$-
{ set +vx; } 2>/dev/null
wandb_shim_folder=@FOLDER@
wandb_shim_comes_back() {
    local job restarts
    job=$(scontrol show job "${SLURM_JOB_ID-}" 2>/dev/null) || return 0
    case "$job" in *JobState=PENDING*|*JobState=REQUEUED*) return 0 ;; esac
    restarts=$(printf '%s\n' "$job" | sed -n 's/.*Restarts=\([0-9][0-9]*\).*/\1/p' | head -n 1)
    [ "${restarts:-0}" -gt "${SLURM_RESTART_COUNT:-0}" ]
}
wandb_shim_others_need_it() {
    local job jobs script
    jobs=$(squeue --noheader --user="$(id -un)" --states=PENDING,CONFIGURING,RUNNING,SUSPENDED --format=%A 2>/dev/null) || return 0
    for job in $jobs; do
        [ "$job" = "${SLURM_JOB_ID-}" ] && continue
        [ -e "$wandb_shim_folder/done.$job" ] && continue
        # An interactive job has no script, and so needs no key.
        script=$(scontrol write batch_script "$job" - 2>/dev/null) \
            || { scontrol show job "$job" 2>/dev/null | grep -q BatchFlag=0 && continue; return 0; }
        case "$script" in *"$wandb_shim_folder"*) return 0 ;; esac
    done
    return 1
}
wandb_shim_forget_key() {
    if [ -e "$wandb_shim_folder/closed" ] && ! wandb_shim_others_need_it; then rm -rf -- "$wandb_shim_folder"; fi
}
# --- in a job ---
unset WANDB_API_KEY
rm -f -- "$wandb_shim_folder/done.${SLURM_JOB_ID-}"
wandb_shim_end() {
    local status=$?
    { set +evx; } 2>/dev/null
    if [ "$BASHPID" = "$$" ] && [ -d "$wandb_shim_folder" ] && ! wandb_shim_comes_back; then
        : >"$wandb_shim_folder/done.${SLURM_JOB_ID-}"
        wandb_shim_forget_key
    fi
    return "$status"
}
wandb_shim_arm() {
    [ "$BASHPID" = "$$" ] || return 0
    eval "set -- $(builtin trap -p EXIT)"
    case "${3-}" in
        *wandb_shim_end*) ;;
        *) builtin trap "wandb_shim_end; ${3-}" EXIT ;;
    esac
}
trap() { builtin trap "$@" && { wandb_shim_arm; } 2>/dev/null; }
wandb_shim_arm
# shellcheck source=/dev/null
[ ! -e "$wandb_shim_folder/variables" ] || . "$wandb_shim_folder/variables"
case "$_wandb_shim_flags" in *v*) set -v ;; esac
case "$_wandb_shim_flags" in *x*) set -x ;; esac
