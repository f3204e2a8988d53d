#!/usr/bin/env bash
# Build Horovod against the PyTorch of a virtual environment and install it there:
#
#     train/install_horovod.sh [VENV] [cpu|nccl]        (make horovod VARIANT=nccl)
#
# cpu   Gloo, and MPI where an `mpicxx` is on the PATH or in the environment (the extra `mpi` brings one).
# nccl  the same and NCCL; needs the CUDA toolkit of PyTorch's CUDA version (CUDA_HOME) and takes NCCL from the
#       wheel beside PyTorch, or from HOROVOD_NCCL_HOME.
#
# A build takes four to five minutes of CPU. Its wheel is kept in NEANIAS_CACHE (default: ~/.cache/neanias_ml) under the
# versions it was built with and is installed from there the next time. NEANIAS_HOROVOD_REBUILD=1 builds anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$(cd "${1:-.venv}" && pwd)
variant=${2:-cpu}
version=0.28.1 # the last release; master has had none since 2023
python=$venv/bin/python
export PATH="$venv/bin:$PATH"

fail() {
  echo "install_horovod.sh: $*" >&2
  exit 2
}

[ -x "$python" ] || fail "$venv is no virtual environment; run 'make install' first"
case $variant in cpu | nccl) ;; *) fail "the variant is cpu or nccl, not '$variant'" ;; esac
command -v c++ >/dev/null || fail "no C++ compiler (c++) was found; install g++"

# What the wheel depends on is its name: another PyTorch, Python or MPI needs another build.
torch=$("$python" -c 'import importlib.metadata as m; print(m.version("torch"))') || fail "PyTorch is not installed in $venv"
mpi=$(command -v mpicxx >/dev/null && mpicxx --showme:version 2>/dev/null | sed -n 's/.*Open MPI \([0-9.]*\).*/openmpi\1/p' | head -1 || true)
command -v mpicxx >/dev/null && mpi=${mpi:-mpi} || mpi=gloo
key=horovod-$version-torch$torch-$("$python" -c 'import sys, platform; print(f"py{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}")')-$mpi-$variant
wheels=${NEANIAS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/neanias_ml}/$key

works() { # the compiled library must load, which an older PyTorch's does not
  "$python" -c 'import horovod.torch as hvd, sys; sys.exit(not (hvd.gloo_built() and (sys.argv[1] != "nccl" or hvd.nccl_built())))' \
    "$variant" 2>/dev/null
}
marker=$venv/.horovod
if [ -z "${NEANIAS_HOROVOD_REBUILD:-}" ] && [ "$(cat "$marker" 2>/dev/null)" = "$key" ] && works; then
  echo "Horovod is installed: $key"
  exit 0
fi

if [ -n "${NEANIAS_HOROVOD_REBUILD:-}" ] || ! ls "$wheels"/horovod-*.whl >/dev/null 2>&1; then
  # setuptools, packaging, cffi, wheel: its setup.py; cmake: releases from 4 on refuse the Gloo it contains
  "$venv/bin/uv" pip install --quiet --python "$python" 'setuptools>=77' wheel packaging cffi cloudpickle psutil PyYAML 'cmake>=3.25,<4'
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
  export HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 HOROVOD_WITH_GLOO=1
  if [ "$mpi" = gloo ]; then export HOROVOD_WITHOUT_MPI=1; else export HOROVOD_WITH_MPI=1; fi
  HOROVOD_CXX_STD=$("$python" -c 'import sys; print(20 if tuple(map(int, sys.argv[1].split(".")[:2])) >= (2, 14) else 17)' "$torch")
  export HOROVOD_CXX_STD
  export HOROVOD_CMAKE=$here/horovod_cmake.sh NEANIAS_CMAKE=$venv/bin/cmake MAKEFLAGS=${MAKEFLAGS:--j$(nproc)}
  if [ "$variant" = nccl ]; then
    export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_NCCL_LINK=SHARED
    export CUDA_HOME=${CUDA_HOME:-/usr/local/cuda}
    export HOROVOD_CUDA_HOME=${HOROVOD_CUDA_HOME:-$CUDA_HOME}
    [ -x "$CUDA_HOME/bin/nvcc" ] || fail "no CUDA toolkit in $CUDA_HOME; name it: CUDA_HOME=/usr/local/cuda-13.0"
    if [ -z "${HOROVOD_NCCL_HOME:-}" ]; then # the wheel names the library libnccl.so.2 only
      nccl=$("$python" -c 'import importlib.util as u; print(next(iter(u.find_spec("nvidia.nccl").submodule_search_locations)))') ||
        fail "PyTorch's NCCL was not found; name one: HOROVOD_NCCL_HOME=FOLDER with include and lib"
      mkdir -p "$build/nccl/lib"
      ln -s "$nccl/include" "$build/nccl/include"
      ln -s "$nccl/lib/libnccl.so.2" "$build/nccl/lib/libnccl.so"
      export HOROVOD_NCCL_HOME=$build/nccl
    fi
  else
    export HOROVOD_CPU_ONLY=1
  fi
  log=$build/build.log
  echo "Building $key (four to five minutes of CPU) ..."
  if ! "$python" -m pip wheel --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation \
    --wheel-dir "$build/wheel" "horovod==$version" >"$log" 2>&1; then
    grep -nE 'error|Error|CMake' "$log" | head -20 >&2 || true
    cp "$log" "$venv/horovod-build.log"
    fail "the build failed; its log is $venv/horovod-build.log"
  fi
  mkdir -p "$wheels"
  mv "$build"/wheel/horovod-*.whl "$wheels/"
fi

"$venv/bin/uv" pip install --quiet --python "$python" --no-cache --reinstall-package horovod "$wheels"/horovod-*.whl
"$python" -c 'import horovod.torch' || fail "the wheel in $wheels does not load; build it anew: NEANIAS_HOROVOD_REBUILD=1 make horovod"
echo "$key" >"$marker"
echo "Installed $key"
