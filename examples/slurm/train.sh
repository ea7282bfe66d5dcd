#!/bin/bash
# One run on several machines with GPUs: sbatch examples/slurm/train.sh EXPERIMENT RUN
# RUN is a folder that all machines see by this path; the data lie where the experiment says on each of them.
#SBATCH --job-name=bioautoml
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32

set -euo pipefail
experiment=$1
run=$2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# One torchrun on each machine, which starts one process for each of its GPUs. A job that was ended goes on when it is
# given again.
srun --kill-on-bad-exit=1 bash -c 'torchrun --nnodes "$SLURM_NNODES" --node-rank "$SLURM_NODEID" \
    --nproc-per-node 4 --master-addr "$0" --master-port 29500 --no-python \
    bioautoml run "$1" --output "$2"' "$first" "$experiment" "$run"
