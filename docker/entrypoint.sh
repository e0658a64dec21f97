#!/bin/sh
# What SageMaker starts: `train` and `serve` work on the tree below /opt/ml (or the folder named next, for tests).
# Any other word is a command of ipinsights. exec, because signals must reach it and its exit code must come back.
set -eu
# The image holds the training step compiled for processors with AVX2. An older one compiles it for itself.
if [ "$(uname -m)" = x86_64 ] && grep -q -w avx2 /proc/cpuinfo; then
    export NUMBA_CPU_NAME="${NUMBA_CPU_NAME-x86-64-v3}" NUMBA_CPU_FEATURES="${NUMBA_CPU_FEATURES-}"
fi
case "${1:-}" in
    train | serve) exec ipinsights "$1" --base-dir "${2:-/opt/ml}" ;;
    *) exec ipinsights "$@" ;;
esac
