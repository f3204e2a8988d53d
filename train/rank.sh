#!/usr/bin/env bash
# One process of a run, as horovodrun.sh and mpirun.sh start it: passes the wish to stop on, so that the process can
# write a checkpoint first.
#
# horovodrun signals the child of a shell, and stops the shell itself: without this one in between, where /bin/sh is
# bash, the training would be frozen and killed. mpirun kills half a second after SIGTERM, but passes SIGUSR1 on and
# waits; the process then counts as done (0), or mpirun would kill the others while the first one still writes.
set -uo pipefail
on_request=0
trap 'kill -TERM "$child" 2>/dev/null' TERM
trap 'on_request=1; kill -TERM "$child" 2>/dev/null' USR1
(
  trap '' USR1 # mpirun signals the whole group of processes, and to the training this one would be the end
  exec "$@"
) &
child=$!
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do # a signal ends `wait` before the process has ended
  wait "$child"
  code=$?
done
if [ "$on_request" = 1 ]; then exit 0; fi
exit "$code"
