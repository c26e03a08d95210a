#!/usr/bin/env bash
# On a machine with a GPU, in one command and under nine minutes: check what a first GPU has to prove, calibrate cuda:0,
# validate, run the GPU tests, and write the measured profile and the tables. Findings are written as they come; the
# exit status is not 0 where any is wrong.
#
#   benchmarks/gpu_run.sh [FOLDER]      (else the folder in $OUT, else ./gpu_run)
#
# PYTHON names an interpreter whose torch sees the GPU (python3). Its packages are used as they are; only what is missing
# is installed, into an environment that is removed in the end (PIP_NO_INDEX and PIP_FIND_LINKS work as usual).
# DEVICE, CALIBRATE_S and VALIDATE_S change what is measured and for how long; DRY=1 runs every check at its smallest.
set -euo pipefail
SECONDS=0
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-${OUT:-gpu_run}}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_DATA_HOME="$work/data" XDG_CACHE_HOME="$work/cache" XDG_CONFIG_HOME="$work/config" PYTHONUNBUFFERED=1
export CUBLAS_WORKSPACE_CONFIG=:4096:8 # or products of one training differ from those of the next

"$python" -m venv "$work/venv" || { echo "gpu_run: $python makes no environment; install its venv module" >&2; exit 1; }
# A .pth file, since --system-site-packages shows the packages of the base interpreter, not those of an environment that
# holds torch.
site=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$python" -c 'import site; print("\n".join(site.getsitepackages()))' >"$site/given.pth"
python="$work/venv/bin/python"
cp -r "$root/sizer" "$site/sizer"
cp -r "$root/models" "$root/profiles" "$site/sizer/"

cd "$work" # not the checkout, whose ./sizer lacks models and profiles
missing=$("$python" "$root/benchmarks/gpu_measure.py" missing)
if [ -n "$missing" ]; then
    echo "gpu_run: installing $missing"
    # shellcheck disable=SC2086 # several names
    "$python" -m pip install --quiet -c <(grep -v '^torch' "$root/constraints.txt") $missing ||
        { echo "gpu_run: $missing cannot be installed; name a folder of wheels with PIP_FIND_LINKS" >&2; exit 1; }
fi

status=0
device=${DEVICE:-cuda:0}
dry=${DRY:+--dry}
# part LIMIT COMMAND: it has so many seconds, or what is left of nine minutes.
part() {
    local limit=$1 left=$((530 - SECONDS))
    shift
    if [ "$left" -le 0 ]; then
        echo "gpu_run: nine minutes are over before: $*" >&2
        return 1
    fi
    timeout "$((limit < left ? limit : left))" "$@"
}
# check LIMIT [NAME ...]: what is found is in the folder at once, so that a run that is cut short has it.
check() {
    local limit=$1
    shift
    part "$limit" "$python" "$root/benchmarks/gpu_checks.py" "$out" "$@" --device "$device" $dry 2>&1 |
        tee -a "$out/checks.txt" || status=$?
}
part 60 "$python" "$root/benchmarks/gpu_measure.py" environment "$out" || status=$?
check 220
part 180 "$python" "$root/benchmarks/gpu_measure.py" measure "$out" --device "$device" \
    --calibrate-s "${CALIBRATE_S:-90}" --validate-s "${VALIDATE_S:-40}" || status=$?
check 60 fresh
# A calibration of 60 days: the hook says its age and trains nothing for it.
"$python" "$root/benchmarks/gpu_measure.py" age --device "$device" || status=$?
check 30 aged
part 30 env ${DRY:+-u PYTHONPATH} "$python" -m pytest -q -m gpu -c "$root/pyproject.toml" --rootdir "$root" \
    -o filterwarnings=default -p no:cacheprovider "$root/tests/test_gpu.py" 2>&1 | tee "$out/tests.txt" || status=$?
ls -l "$out"
exit "$status"
