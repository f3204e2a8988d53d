#!/usr/bin/env bash
# Several GPUs or processes by PyTorch's own launcher and DDP: of one machine, or of several.
#
#     PROCESSES=4 train/torchrun.sh KIND --config FILE -o RUN [OPTIONS of neanias-ml train KIND]
#
# On several machines, on each of them (data prepared before, RUN on a disk that all share):
#
#     NODES=2 RENDEZVOUS=node1:29400 PROCESSES=4 train/torchrun.sh KIND --config FILE --data DATA -o RUN
#
# Prints the lines of one process, those of the first one: one_gpu.sh. Loading and gradients are shared: each process
# takes its part of the data, `world_size` in RUN/run.json is NODES times PROCESSES, and `samples_per_second` counts
# the samples of all of them. GPUs of one machine come near to PROCESSES times one GPU where batches are large;
# processes on the cores of one CPU share its memory and gain much less.
#
# What goes wrong: hanging at the start on several machines (a firewall on the port; another version of Python or of
# this package; the wrong network: NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME). More PROCESSES than GPUs ends with a
# sentence.
#
# Variables: PROCESSES (2) of each machine; NODES (1); RENDEZVOUS, RENDEZVOUS_ID (neanias-ml); RESTARTS (2) launches
# after one that failed. On one machine restarts.sh starts again, and knows which failures are worth it; on several
# torchrun does (--max-restarts), whatever the failure. Exit codes: restarts.sh.
set -euo pipefail
PROCESSES=${PROCESSES:-2}
NODES=${NODES:-1}
RENDEZVOUS=${RENDEZVOUS:-}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/restarts.sh"

if [ "$NODES" = 1 ]; then
  prepare_once "$@"
  with_restarts torchrun --standalone --nproc-per-node "$PROCESSES" -m neanias_ml train "$@" --resume auto
else
  if [ -z "$RENDEZVOUS" ]; then
    echo "$0: with NODES=$NODES name a host and a free port of it that all nodes reach: RENDEZVOUS=node1:29400" >&2
    exit 2
  fi
  # torchrun itself starts all nodes again together; a loop on each of them could not
  again=$RESTARTS RESTARTS=0
  with_restarts torchrun --nnodes "$NODES" --nproc-per-node "$PROCESSES" --max-restarts "$again" \
    --rdzv-backend c10d --rdzv-endpoint "$RENDEZVOUS" --rdzv-id "${RENDEZVOUS_ID:-neanias-ml}" \
    -m neanias_ml train "$@" --resume auto
fi
