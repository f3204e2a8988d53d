#!/usr/bin/env bash
# Several processes with Horovod, on this machine or on several that SSH reaches without a password.
#
#     PROCESSES=2 train/horovodrun.sh KIND --config FILE -o RUN [OPTIONS of neanias-ml train KIND]
#     PROCESSES=8 HOSTS=node1:4,node2:4 train/horovodrun.sh KIND --config FILE --data DATA -o RUN
#
# Horovod comes by `make horovod`, with NCCL for GPUs by `make horovod VARIANT=nccl`. Prints the lines of one process,
# with the number of the process before them:
#
#     [0]<stdout>:step 20: validation loss 0.1688
#     [0]<stdout>:written: RUN/bundle (exact_set_multi 0.743), RUN
#
# The processes find each other by Gloo; gradients go by NCCL between GPUs where Horovod has it, else by Gloo. Speed:
# see torchrun.sh. --fit.compression fp16 halves what goes through a slow network.
#
# What goes wrong: "Horovod cannot be loaded" (another PyTorch than it was built with: make horovod); hosts that do
# not see this folder, RUN and DATA under the same paths; a network that only some hosts have (HOROVOD_GLOO_IFACE,
# NCCL_SOCKET_IFNAME). After a failure the last lines are those of horovodrun, a traceback with "Exit code: ..." at
# its end; the sentence that counts stands above. Told to stop, processes have five seconds before they are killed:
# what a longer step has cost is gone back to at the last checkpoint.
#
# Variables: PROCESSES (2) in all; HOSTS (localhost:PROCESSES); RESTARTS (2) launches after one that failed. Exit
# codes: restarts.sh.
set -euo pipefail
PROCESSES=${PROCESSES:-2}
HOSTS=${HOSTS:-localhost:$PROCESSES}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/restarts.sh"

prepare_once "$@"
with_restarts horovodrun -np "$PROCESSES" -H "$HOSTS" --gloo \
  bash "$here/rank.sh" neanias-ml train "$@" --resume auto
