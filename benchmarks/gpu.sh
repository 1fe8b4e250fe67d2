#!/usr/bin/env bash
# Check and time the model on this machine's GPU: at most eight minutes, needs Python, torch and numpy.
#   benchmarks/gpu.sh                          all of it
#   benchmarks/gpu.sh --device cpu --quick     the same code on a CPU, in seconds
# The result is written to benchmarks/results/gpu-<date>-<device>.json.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
