#!/bin/bash
# Builds the programs and tests that check.sh runs on a GPU's machine, and puts them, stripped, into a folder.
#
#   tests/gpu/pack.sh FOLDER
set -eu
folder=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
export LIBTORCH=${LIBTORCH:-$root/.deps/libtorch}
mkdir -p "$folder/tests"
folder=$(cd "$folder" && pwd)
cd "$root"
cargo build --release --locked -p coordinator -p worker
cargo build --release --locked -p worker --example host_step
# The path of a test's program, which carries a hash.
built() { cargo test --release --locked -p "$1" --test "$2" --no-run 2>&1 | sed -n 's/.*Executable .*(\(.*\))/\1/p'; }
cp target/release/{coordinator,worker,examples/host_step} "$folder"
cp "$(built worker golden)" "$folder/golden"
cp "$(built cluster-tests kinds)" "$folder/tests/kinds"
cp "$(built cluster-tests precision)" "$folder/tests/precision"
strip "$folder"/{coordinator,worker,host_step,golden} "$folder"/tests/*
du -sh "$folder"
