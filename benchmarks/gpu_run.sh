#!/usr/bin/env bash
# On a machine with a GPU, in one command and under nine minutes: calibrate cuda:0, validate, run the GPU tests, and
# write the measured profile and the tables.
#
#   benchmarks/gpu_run.sh [FOLDER]      (else the folder in $OUT, else ./gpu_run)
#
# PYTHON names an interpreter whose torch sees the GPU (python3). Its packages are used as they are; only what is missing
# is installed, into an environment that is removed in the end (PIP_NO_INDEX and PIP_FIND_LINKS work as usual).
# DEVICE, CALIBRATE_S and VALIDATE_S change what is measured and for how long.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-${OUT:-gpu_run}}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_DATA_HOME="$work/data" XDG_CACHE_HOME="$work/cache" XDG_CONFIG_HOME="$work/config" PYTHONUNBUFFERED=1

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
timeout 380 "$python" "$root/benchmarks/gpu_measure.py" measure "$out" --device "${DEVICE:-cuda:0}" \
    --calibrate-s "${CALIBRATE_S:-120}" --validate-s "${VALIDATE_S:-90}" || status=$?
timeout 120 "$python" -m pytest -q -m gpu -c "$root/pyproject.toml" --rootdir "$root" -o filterwarnings=default \
    -p no:cacheprovider "$root/tests/test_gpu.py" 2>&1 | tee "$out/tests.txt" || status=$?
ls -l "$out"
exit "$status"
