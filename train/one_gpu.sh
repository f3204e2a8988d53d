#!/usr/bin/env bash
# One process: one GPU, or a CPU.
#
#     train/one_gpu.sh KIND --config FILE -o RUN [OPTIONS of neanias-ml train KIND]
#     train/one_gpu.sh association --config configs/train/association_tiny.yaml -o runs/tiny
#
# Prints lines of progress, the table of the test scores, and at the end
#
#     step 40: validation loss 0.1520
#     written: runs/tiny/bundle (exact_set_multi 0.743), runs/tiny
#
# The same command goes on from the last checkpoint, if RUN has one. This is the speed that the other recipes are
# compared with: `samples_per_second` in RUN/run.json.
#
# What goes wrong: a machine without a GPU that the recipe asks for (--fit.accelerator cpu), or too little GPU memory
# (halve --fit.batch_size and double --fit.accumulate). A GPU that waits (`input_wait` above 0.1 in run.json) wants
# --fit.workers 4. A machine without astropy cannot prepare: copy the data there and name them with --data.
#
# Variables: RESTARTS (2) launches after one that failed. Exit codes: restarts.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/restarts.sh"

prepare_once "$@"
with_restarts neanias-ml train "$@" --resume auto
