#!/bin/bash
# What a GPU can show, in one call: goldens on CUDA, a 7B-shaped model in bf16 and NF4, the same by PEFT, a micro-batch
# that does not fit, and the same bytes however many workers share the card.
#
#   tests/gpu/check.sh OUT [goldens] [seven] [peft] [full] [host] [bytes]
#
# Needs the programs that pack.sh puts into BIN, and a python3 with torch 2.11.0 for CUDA, whose
# libraries are used. Writes logs and figures to OUT.
set -u
out=$1; shift
what=${*:-goldens seven peft full host bytes}
mkdir -p "$out"
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
LD_LIBRARY_PATH=$(python3 -c 'import torch, os; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')
export LD_LIBRARY_PATH
bin=$(cd "${BIN:-target/release}" && pwd)
export CUBLAS_WORKSPACE_CONFIG=:4096:8
work=${GPU_WORK:-/tmp/gpu-check}
mkdir -p "$work"
nvidia-smi --query-gpu=name,driver_version,memory.used,memory.total --format=csv | tee "$out/device.txt"

# Written beside the goldens.
model() { [ -d "$work/model" ] || python3 tests/gpu/random_model.py "$work" models/tiny-law "${LAYERS:-32}"; }
case " $what " in *" seven "* | *" peft "* | *" full "*) model & writing=$! ;; *) writing= ;; esac

case " $what " in *" goldens "*)
    (cd worker && CARGO_MANIFEST_DIR=$PWD GOLDEN_DEVICE=cuda "$bin/golden" --test-threads=1 --nocapture) > "$out/goldens.txt" 2>&1
    echo "goldens: exit $?"; grep -E '^test result|FAILED|panicked' "$out/goldens.txt" | head -40
esac

[ -z "$writing" ] || wait "$writing" || exit 1

# One run: NAME KEY=VALUE...; prints the peak of the whole card, its plan, and the middle of the steps' speed.
run() {
    local name=$1; shift
    local set=(); for pair in "$@"; do set+=(--set "$pair"); done
    cat > "$work/$name.yaml" <<YAML
train_data_dir: $work/rows.jsonl
base_model: $work/model
output_dir: $work/$name
lora_rank: 16
target_modules: all-linear
batch_size: 4
micro_batch_size: 4
max_seq_length: 512
train_on_inputs: true
max_steps: 12
save_steps: 1000
device: cuda
YAML
    "$bin/coordinator" plan --config "$work/$name.yaml" "${set[@]}" > "$out/$name.plan.txt" 2>&1
    "$bin/coordinator" plan --config "$work/$name.yaml" "${set[@]}" --output json 2> /dev/null | python3 -c "
import json, sys
gpu = json.load(sys.stdin)['gpu']
print(sys.argv[1] + ': planned', gpu['peak'] >> 20, 'MiB,', gpu['peak_checkpointed'] >> 20, 'with checkpointing on')" "$name"
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 100 > "$out/$name.used.txt" & local watch=$!
    timeout 120 "$bin/coordinator" up --config "$work/$name.yaml" "${set[@]}" --local-workers 1 > "$out/$name.txt" 2>&1
    echo "$name: exit $?"
    kill $watch; wait $watch 2>/dev/null
    cp "$work/$name/logs/cluster.jsonl" "$out/$name.cluster.jsonl"
    cp "$work/$name/logs/worker-1.log" "$out/$name.worker.txt"
    sed -n "s/.*the GPU's memory: /$name: /p" "$out/$name.worker.txt"
    echo "$name: peak $(sort -n "$out/$name.used.txt" | tail -1) MiB of the card, $(sort -n "$out/$name.used.txt" | head -1) MiB before"
    sed -n "s/.*\(activations do not fit.*\)/$name: \1/p" "$out/$name.worker.txt"
    grep -E '^step ' "$out/$name.txt" | tail -4
    grep -h -A 9 -E '^E[0-9]{4}' "$out/$name.worker.txt" "$out/$name.txt" | head -14
    rm -rf "${work:?}/$name"
}

case " $what " in *" seven "*)
    run bf16 bf16=true activation_checkpointing=on
    run nf4 bf16=true quantization=nf4 activation_checkpointing=on
esac

case " $what " in *" peft "*)
    (unset LD_LIBRARY_PATH; python3 tests/gpu/peft_step.py "$work/model") 2> "$out/peft.log" | tee "$out/peft.json"
esac

# 64 samples at a time: their activations fit on no card, unless they are computed again.
case " $what " in *" full "*)
    run auto bf16=true batch_size=64 micro_batch_size=64 max_steps=1
    run off bf16=true batch_size=64 micro_batch_size=64 max_steps=1 activation_checkpointing=off
esac

case " $what " in *" host "*)
    for threads in 1 4 "$(nproc)"; do "$bin/host_step" 39976960 5 "$threads"; done | tee "$out/host.jsonl"
esac

# Each test is a matrix: one, two and four workers, one killed, one resumed.
bytes() {
    (cd tests && CARGO_MANIFEST_DIR=$PWD CLUSTER_DEVICE=cuda "$bin/tests/$1" --test-threads=6 --nocapture) \
        > "$out/$1.txt" 2>&1
    echo "$1: exit $?"; grep -E '^test result|FAILED|panicked|sha256' "$out/$1.txt" | head -60
}

case " $what " in *" bytes "*)
    bytes kinds & kinds=$!
    bytes precision
    wait $kinds
esac
