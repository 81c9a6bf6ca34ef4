#!/bin/sh
# Shows that transformers loads what `crayon export --format bitsandbytes` writes, and gives the same logits as crayon.
#
#     CRAYON=.build/release/crayon PYTHON=.venv/bin/python Scripts/reference/check_exports.sh
#
# Each text model among the fixtures is quantized, some in several ways, and exported; transformers loads the export
# and records its logits for a fixture's prompt, and `crayon verify` runs the bundle on that record. Needs the Python
# packages that README.md names. Exit code 0: all agree.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
crayon=${CRAYON:-$root/.build/release/crayon}
python=${PYTHON:-python3}
tolerance=${TOLERANCE:-1e-5}
models=$root/Tests/Fixtures/models
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # MODEL OPTION…
    model=$1
    shift
    rm -rf "$work/bundle.crayon" "$work/export"
    "$crayon" quantize "$models/$model" -o "$work/bundle.crayon" --quiet "$@"
    "$crayon" export "$work/bundle.crayon" --format bitsandbytes -o "$work/export" --quiet 2> "$work/warnings"
    "$python" "$here/transformers_loads.py" "$work/export" "$models/$model/probe-1.safetensors" \
        --record "$work/transformers.safetensors" > "$work/record" 2> "$work/log" || { cat "$work/log"; failed=1; return; }
    "$crayon" verify "$work/bundle.crayon" --probe "$work/transformers.safetensors" --tolerance "$tolerance" --json \
        > "$work/report" || failed=1
    "$python" - "$work/record" "$work/report" "$model $*" << 'PYTHON'
import json
import sys

record, report = (json.load(open(path)) for path in sys.argv[1:3])
probe = report["probes"][0]
print(
    f"{sys.argv[3]:50} {record['four_bit_layers']:3} 4-bit layers, {record['positions']:3} positions: relative error "
    f"{probe['relative_error']:.2e}, top-1 {probe['top1_agreement']:.3f} {'ok' if report['passed'] else 'FAILED'}"
)
PYTHON
}

# Rows that are whole blocks: bitsandbytes multiplies by its own code throughout.
"$python" "$here/transformers_loads.py" --make "$work/aligned" > /dev/null 2> "$work/log" || { cat "$work/log"; exit 2; }
fixtures=$models
models=$work
check aligned
check aligned --precision head=nf4
check aligned --no-double-quantization
models=$fixtures
for model in llama llama-biases vicuna-linear-rope mistral mistral-window qwen2 qwen2-window; do
    check $model
done
check llama --block-size 32 --no-double-quantization
check llama --precision head=nf4
check qwen2 --block-size 128 --scale-codes exact-nearest
# These two are exported as the source's float16; crayon computes with the codes' own float32 values.
tolerance=1e-3
check llama --precision head=int8 --precision embeddings=nf4
exit $failed
