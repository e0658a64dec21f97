#!/bin/sh
# What SageMaker starts: `train` and `serve` work on the tree below /opt/ml (or the folder named next, for tests).
# Any other word is a command of ipinsights. exec, because signals must reach it and its exit code must come back.
set -eu
case "${1:-}" in
    train | serve) exec ipinsights "$1" --base-dir "${2:-/opt/ml}" ;;
    *) exec ipinsights "$@" ;;
esac
