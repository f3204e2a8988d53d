#!/usr/bin/env bash
# Stands for `cmake` while Horovod is built (its setup.py calls what HOROVOD_CMAKE names). Horovod 0.28.1 asks for
# C++14, its successors of PyTorch's headers for C++17 or C++20, and no option reaches that line of its CMakeLists.
set -euo pipefail
options=()
source=${1:-}
if [ -f "$source/horovod/torch/CMakeLists.txt" ]; then
  sed -i "s/CMAKE_CXX_STANDARD 14/CMAKE_CXX_STANDARD ${HOROVOD_CXX_STD:-17}/" \
    "$source/CMakeLists.txt" "$source/horovod/torch/CMakeLists.txt"
  if [ -n "${HOROVOD_CPU_ONLY:-}" ]; then
    # PyTorch with CUDA would ask for a toolkit that a build for processors does not need
    sed -i 's/(CUDA_HOME is not None)/False/' "$source/cmake/Modules/FindPytorch.cmake"
  fi
  options=(-DCMAKE_CXX_FLAGS_RELWITHDEBINFO="${HOROVOD_OPT:--O1 -g0 -DNDEBUG}")
fi
exec "${NEANIAS_CMAKE:-cmake}" "$@" ${options[@]+"${options[@]}"}
