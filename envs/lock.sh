#!/usr/bin/env bash
# Pin every version anew from pyproject.toml; needs uv. Run from the repository's root, then `make test`.
#
#   envs/cpu.txt          what `make env` installs, beside torch
#   envs/cpu-hashed.txt   the same with the index's hashes (`make env HASHES=1`)
#   envs/cuda.txt         what a GPU node needs: torch with its CUDA libraries, no test tools
#   envs/{cpu,gpu}.yaml   the same for `snakemake --sdm conda`
set -euo pipefail

# The 3.11 resolution serves later Pythons too.
compile() {
    uv pip compile --quiet --no-header --no-annotate --python-version 3.11 \
        --python-platform x86_64-manylinux_2_28 --extra train --extra baselines --extra report --extra workflow "$@"
}
without_cuda() { grep -vE '^(torch==|triton|nvidia-|cuda-)'; }

# torch's CPU builds have another hash on every index, so it stands in the Makefile alone
compile --extra dev pyproject.toml | without_cuda >envs/cpu.txt
uv pip compile --quiet --no-header --no-annotate --no-deps --generate-hashes envs/cpu.txt \
    --output-file envs/cpu-hashed.txt >/dev/null
compile --constraint <(echo torch==2.13.0) pyproject.toml >envs/cuda.txt

conda_file() { # NAME PACKAGES
    printf 'name: %s\nchannels: [conda-forge, nodefaults]\ndependencies:\n' "$1"
    printf '  - python=3.11\n  - pip\n  - pip:\n'
    sed 's/^/      - /'
}
{ compile pyproject.toml | without_cuda; echo 'torch==2.13.0'; } | conda_file aidocell-cpu >envs/cpu.yaml
conda_file aidocell-gpu <envs/cuda.txt >envs/gpu.yaml
