# Sourced by the launch recipes: the check before a launch, and new launches after one that failed.
#
#   prepare_once KIND OPTIONS...     one process reads the command line and prepares the data, if they are missing;
#                                    wrong usage ends the recipe here, with its sentence printed once
#   with_restarts LAUNCHER...        runs the launcher; when it fails, runs it again, up to RESTARTS times (default 2).
#                                    Every launch goes on from the last checkpoint by `--resume auto`
#
# Exit codes of a recipe: 0 done; 2 wrong usage, 3 bad input, 5 model trouble (another launch would only fail again);
# 130 after Ctrl-C, 143 after SIGTERM, 129 after the terminal was closed: the processes write a checkpoint first, and
# nothing is launched again; else the code of the last launch.
#
# horovodrun and torchrun end with 1 whatever happened to their processes. The sentence that a process ends with names
# the kind of its error ("... [UsageError:FitConfig]") and goes through every launcher, so it is what counts here.

RESTARTS=${RESTARTS:-2}
STOP_SIGNAL=${STOP_SIGNAL:-TERM} # what makes a launcher let its processes write a checkpoint and end
running= stopped=0 code=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT
trap '_stop 130' INT
trap '_stop 143' TERM
trap '_stop 129' HUP

prepare_once() {
  if [ $# -eq 0 ] || [[ $1 == -* ]]; then
    echo "usage: [VARIABLE=VALUE ...] $0 detector|association|morphology --config FILE -o DIR [OPTIONS]" >&2
    exit 2
  fi
  case " $* " in *" --overwrite "*)
    echo "$0: a recipe goes on with what lies in its folder; remove that, or name another" >&2
    exit 2
    ;;
  esac
  signal=TERM
  # without the number of tasks of a batch script: that script is one process and may prepare
  _run env -u SLURM_NTASKS neanias-ml train "$@" --prepare-only
  if [ "$code" -ne 0 ]; then exit "$code"; fi
}

with_restarts() {
  local launch=0
  signal=$STOP_SIGNAL
  while :; do
    _run "$@"
    if [ "$code" -eq 0 ]; then return 0; fi
    _exit_if_final
    if [ "$launch" -ge "$RESTARTS" ]; then
      echo "$0: the last of $((RESTARTS + 1)) launches failed too (exit code $code)" >&2
      exit "$code"
    fi
    launch=$((launch + 1))
    echo "$0: the launch failed (exit code $code); going on from the last checkpoint, restart $launch of $RESTARTS" >&2
  done
}

# Run a command to its end, its exit code in `code` and its words in the file `said`; ends the recipe after a signal.
_run() {
  local reader
  if [ "$stopped" -ne 0 ]; then exit "$stopped"; fi
  set -m # a group of processes of its own: Ctrl-C reaches it once, by the trap
  exec {out}> >(exec tee -i "$said")
  reader=$!
  "$@" >&"$out" 2>&1 </dev/null {out}>&- &
  running=$!
  exec {out}>&-
  set +m
  _await "$running"
  code=$ended_with
  running=
  _await "$reader" # its input ends with the last of the processes that write to it
  if [ "$stopped" -ne 0 ]; then
    echo "$0: stopped; the same command goes on from the last checkpoint" >&2
    exit "$stopped"
  fi
}

# Wait for a process to end, however many signals arrive meanwhile; its exit code goes to `ended_with`.
_await() {
  ended_with=0
  wait "$1" || ended_with=$?
  while kill -0 "$1" 2>/dev/null; do
    ended_with=0
    wait "$1" || ended_with=$?
  done
}

_stop() {
  stopped=$1
  if [ -n "$running" ]; then kill -"$signal" "$running" 2>/dev/null || true; fi
}

# End where another launch would only fail in the same way, or where the processes were told to end.
_exit_if_final() {
  local family
  case $code in 130 | 143) exit "$code" ;; esac
  family=$(sed -nE 's/.*neanias-ml train: .*\[(UsageError|InputError|ModelError):[A-Za-z]+\]$/\1/p' "$said" | sed -n 1p)
  case $family in
    UsageError) exit 2 ;;
    InputError) exit 3 ;;
    ModelError) exit 5 ;;
  esac
}
