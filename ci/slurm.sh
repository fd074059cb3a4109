#!/bin/sh
# A run on each node, and one report of all of them. In the folder of the project, which all nodes share:
#   sbatch --nodes=4 --exclusive ci/slurm.sh tests/
# PARASUITE: the program, .venv/bin/parasuite by default. Options and target are those of `parasuite run`.
#SBATCH --job-name=parasuite
#SBATCH --time=01:00:00
set -u
parasuite=${PARASUITE:-.venv/bin/parasuite}
folder=$PWD/.parasuite-slurm/${SLURM_JOB_ID:?start me with sbatch, or set SLURM_JOB_ID}
mkdir -p "$folder" || exit 3
unset PARASUITE # parasuite refuses variables PARASUITE_* that it does not know, and this one is ours.

# One task a node: two runs on one node would be strangers to each other. The node's own disk takes the many small
# writes, and one archive goes to the shared one, whatever the exit code of the run was.
srun --label --ntasks-per-node=1 --kill-on-bad-exit=0 sh -c '
    parasuite=$1 folder=$2
    shift 2
    own=$(mktemp -d) || exit 3
    "$parasuite" run --output-dir "$own/out" "$@"
    tar -C "$own" -czf "$folder/$(hostname)-${SLURM_PROCID:-0}.tar.gz" out
    rm -rf "$own"
' sh "$parasuite" "$folder" "$@"

came=$(find "$folder" -name '*.tar.gz' | wc -l)
echo "$came of ${SLURM_JOB_NUM_NODES:-?} nodes have sent a run" >&2
exec "$parasuite" merge "$folder"
