#!/usr/bin/env bash
# Several processes with Horovod, started by Open MPI (4 or 5).
#
#     PROCESSES=2 train/mpirun.sh KIND --config FILE -o RUN [OPTIONS of neanias-ml train KIND]
#     PROCESSES=8 HOSTS=node1:4,node2:4 train/mpirun.sh KIND --config FILE --data DATA -o RUN
#
# Horovod must have been built with MPI (`make horovod` does where it finds mpicxx; the extra `mpi` brings one).
# Prints the lines of one process: one_gpu.sh. Under a scheduler that Open MPI knows (Slurm, PBS) leave HOSTS out.
# Speed: see torchrun.sh.
#
# What goes wrong: root in a container (OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1); fewer cores than
# processes (OVERSUBSCRIBE=1); a network card that Open MPI chooses wrongly (OMPI_MCA_btl_tcp_if_include=eth0).
# Processes are not bound to cores: loaders need some of them, too. A process that is lost is told as
#
#     prterun noticed that process rank 1 with PID 9791 on node vm exited on
#     signal 9 (Killed).
#
# Variables: PROCESSES (2) in all; HOSTS (this machine, or those of the scheduler) or HOSTFILE; OVERSUBSCRIBE (0);
# RESTARTS (2) launches after one that failed. Other hosts get the variables listed below. Exit codes: restarts.sh.
set -euo pipefail
PROCESSES=${PROCESSES:-2}
HOSTS=${HOSTS:-}
HOSTFILE=${HOSTFILE:-}
OVERSUBSCRIBE=${OVERSUBSCRIBE:-0}
STOP_SIGNAL=USR1 # see rank.sh
here=$(cd "$(dirname "$0")" && pwd)
. "$here/restarts.sh"

options=(-np "$PROCESSES" --bind-to none)
if [ -n "$HOSTS" ]; then options+=(--host "$HOSTS"); fi
if [ -n "$HOSTFILE" ]; then options+=(--hostfile "$HOSTFILE"); fi
version=$(mpirun --version 2>&1 | head -1) || true
case $version in
  *"Open MPI"*" 4."*) if [ "$OVERSUBSCRIBE" = 1 ]; then options+=(--oversubscribe); fi ;;
  *"Open MPI"*) if [ "$OVERSUBSCRIBE" = 1 ]; then options+=(--map-by :OVERSUBSCRIBE); fi ;;
  *)
    echo "$0: this recipe speaks the options of Open MPI 4 and 5, not of '$version'; use horovodrun.sh, or adapt it" >&2
    exit 2
    ;;
esac
for name in $(compgen -e); do # processes on other hosts know nothing of this shell
  case $name in
    PATH | LD_LIBRARY_PATH | PYTHONPATH | VIRTUAL_ENV | CUDA_* | OMP_* | NCCL_* | HOROVOD_* | MLFLOW_* | NEANIAS_* | \
      NO_ALBUMENTATIONS_UPDATE)
      options+=(-x "$name")
      ;;
  esac
done

prepare_once "$@"
with_restarts mpirun "${options[@]}" bash "$here/rank.sh" neanias-ml train "$@" --resume auto
