#!/usr/bin/env bash
# Lays libtorch 2.11.0 under .deps/ so that cargo can build and the programs can run.
#
# In:  TORCH_DIR (optional): the folder site-packages/torch of a full torch 2.11.0 install to use
#      instead (GPU machines); TORCH_DIR=slim goes back to the CPU copy. PYTHON: default python3.
# Out: .deps/site       what pip brought (only for the CPU copy)
#      .deps/libtorch   the view folder that LIBTORCH names (.cargo/config.toml)
# Invariant: .deps/site and .deps/libtorch are whole or absent; they appear by a rename. A second
# run finds them and returns at once; an interrupted one is cleaned up by the next.
# Exit: 0 ready, 2 something is missing on this machine (all of it is named), 1 anything else.
set -euo pipefail

readonly VERSION=2.11.0
readonly WHEELS=("torch==$VERSION" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
readonly NEEDED_MIB=3072

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps
view=$deps/libtorch
site=$deps/site
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { # exit code, what is wrong, what to do...
  local code=$1 what=$2
  shift 2
  printf 'setup: error: %s\n' "$what" >&2
  printf '  help: %s\n' "$@" >&2
  exit "$code"
}

# --- what the machine must have ------------------------------------------------------------------

missing=()
packages=()
lacks() { # what is missing, Debian package or "", how else
  missing+=("$1${3:+ ($3)}")
  if [[ -n $2 ]]; then packages+=("$2"); fi
}

# True when dotted version $1 is at least $2.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

check_compilers() {
  local wanted found
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")
  if ! command -v cargo >/dev/null; then
    lacks "cargo, Rust $wanted or newer" "" "install rustup as rust-lang.org describes, then: rustup toolchain install stable"
  else
    found=$(cd "$root" && cargo --version 2>/dev/null | awk '{print $2}') || found=
    if [[ -z $found ]]; then
      lacks "a working cargo" "" "'cargo --version' fails here; try: rustup default stable"
    elif ! at_least "${found%%-*}" "$wanted"; then
      lacks "Rust $wanted or newer, found $found" "" "rustup update stable"
    fi
  fi
  if ! command -v "${CXX:-c++}" >/dev/null; then
    lacks "a C++17 compiler (${CXX:-c++})" g++ "or set CXX"
  fi
  if ! command -v "${CC:-cc}" >/dev/null; then lacks "a C compiler (${CC:-cc})" gcc "or set CC"; fi
  if ! command -v make >/dev/null; then lacks "make" make ""; fi
}

check_python() {
  local found
  if ! command -v "$python" >/dev/null; then
    lacks "Python 3.10 or newer ($python)" python3 "or set PYTHON"
    lacks "pip" python3-pip ""
    return
  fi
  found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || found=0
  if ! at_least "$found" 3.10; then
    lacks "Python 3.10 or newer, found $found" "" "set PYTHON to a newer one"
  fi
  if ! found=$("$python" -m pip --version 2>/dev/null); then
    lacks "pip for $python" python3-pip "or: $python -m ensurepip --user"
  else
    found=$(awk '{print $2}' <<<"$found")
    if ! at_least "$found" 20.3; then
      lacks "pip 20.3 or newer, found $found" "" "$python -m pip install --upgrade pip"
    fi
  fi
}

report_missing() {
  if ((${#missing[@]} == 0)); then return; fi
  say "this machine lacks:"
  printf '  - %s\n' "${missing[@]}" >&2
  if ((${#packages[@]} > 0)); then
    say "on Debian or Ubuntu: sudo apt-get install ${packages[*]}"
  fi
  fail 2 "nothing was changed" "install what is listed, then run the same command again"
}

# --- the view folder -----------------------------------------------------------------------------

# The torch folder that the view shows now; empty when the view is absent or broken.
shown() {
  [[ -f $view/build-version && $(<"$view/build-version") == "$VERSION" ]] || return 0
  [[ -e $view/lib/libtorch.so && -e $view/lib/libc10.so && -d $view/include/torch ]] || return 0
  local real
  real=$(readlink -f "$view/lib/libtorch_cpu.so") || return 0
  if [[ -f $real ]]; then dirname "$(dirname "$real")"; fi
}

# Says what is wrong with a torch folder; silent when it can be used.
fault_of() {
  local torch=$1 found=
  if [[ -f $torch/version.py ]]; then
    found=$(sed -n "s/^__version__ = ['\"]\([^'\"+]*\).*/\1/p" "$torch/version.py")
  elif [[ -f $torch/build-version ]]; then
    found=$(sed 's/+.*//' "$torch/build-version")
  else
    echo "no version.py in $torch: it is not a torch folder"
    return
  fi
  if [[ $found != "$VERSION" ]]; then
    echo "torch $found in $torch, but the programs are built against exactly $VERSION"
  elif [[ ! -f $torch/lib/libtorch_cpu.so || ! -f $torch/lib/libc10.so ]]; then
    echo "no lib/libtorch_cpu.so or lib/libc10.so in $torch"
  elif [[ ! -f $torch/include/torch/csrc/api/include/torch/torch.h ]]; then
    echo "no C++ headers in $torch/include"
  fi
}

# $1: real torch folder, $2: the same as the links shall name it (seen from .deps/libtorch).
lay_view() {
  local torch=$1 link=$2 new=$deps/libtorch.partial up=
  if [[ $link != /* ]]; then up=../; fi
  rm -rf "$new"
  mkdir -p "$new/lib"
  ln -s "$link/include" "$new/include"
  # No libtorch_cuda.so here: with it the programs would need CUDA to start.
  ln -s "$up$link/lib/libtorch_cpu.so" "$new/lib/libtorch_cpu.so"
  ln -s "$up$link/lib/libc10.so" "$new/lib/libc10.so"
  ln -s "$up$link/lib/libtorch_cpu.so" "$new/lib/libtorch.so"
  printf '%s\n' "$VERSION" >"$new/build-version"
  rm -rf "$view"
  mv "$new" "$view"
  check_companions "$torch"
}

check_companions() {
  if ! command -v ldd >/dev/null; then return; fi
  local lost
  lost=$(ldd "$1/lib/libtorch_cpu.so" 2>/dev/null | awk '/not found/ {print $1}' | sort -u | tr '\n' ' ')
  if [[ -n $lost ]]; then
    rm -rf "$view"
    fail 1 "libtorch_cpu.so in $1/lib cannot find: $lost" \
      "remove $site and run again, or give TORCH_DIR a complete torch $VERSION install"
  fi
}

# --- the CPU copy --------------------------------------------------------------------------------

check_disk() {
  local free
  free=$(df -Pm "$deps" | awk 'NR == 2 {print $4}')
  if ((free < NEEDED_MIB)); then
    fail 2 "$free MiB free in $deps, but fetching libtorch takes $NEEDED_MIB MiB for a while (0.7 GiB stay)" \
      "free some space, or put the clone on another disk"
  fi
}

install_site() {
  local new=$deps/site.partial options=(--no-deps --only-binary=:all: --disable-pip-version-check
    --no-warn-script-location --retries 10 --timeout 60)
  rm -rf "$new" "$deps/tmp"
  mkdir -p "$deps/tmp"
  check_disk
  if "$python" -m pip install --help | grep -q -- --resume-retries; then
    options+=(--resume-retries 10)
  fi
  if "$python" -m pip install --help | grep -q -- --root-user-action; then
    options+=(--root-user-action=ignore)
  fi
  say "fetching ${WHEELS[*]} by pip (545 MB, a minute or more)"
  # --target leaves the machine's own Python alone, so an externally managed one is no obstacle.
  # TMPDIR: /tmp is often too small. PIP_USER: --user and --target exclude each other.
  if ! TMPDIR=$deps/tmp PIP_USER=0 "$python" -m pip install "${options[@]}" --target "$new" "${WHEELS[@]}" >&2; then
    rm -rf "$new" "$deps/tmp"
    fail 1 "pip could not bring ${WHEELS[*]}" \
      "the lines above say why; usual causes: no network, a Python newer than torch $VERSION knows, no x86_64 or aarch64 Linux" \
      "run the same command again: finished downloads are kept in pip's cache" \
      "or point TORCH_DIR at the folder site-packages/torch of a torch $VERSION install"
  fi
  # What only Python or CUDA needs: 0.5 GB.
  rm -f "$new"/torch/lib/libtorch_cuda*.so "$new"/torch/lib/libtorch_nvshmem.so \
    "$new"/torch/lib/libc10_cuda.so "$new"/torch/lib/libtorch_python.so
  rm -rf "$site" "$deps/tmp"
  mv "$new" "$site"
}

# --- the walk ------------------------------------------------------------------------------------

main() {
  local wanted=${TORCH_DIR:-} now fault
  check_compilers
  now=$(shown)
  if [[ -z $wanted && -n $now ]]; then
    report_missing
    return
  fi
  if [[ -n $wanted && $wanted != slim ]]; then
    report_missing
    fault=$(fault_of "$wanted")
    if [[ -n $fault ]]; then
      fail 2 "TORCH_DIR: $fault" "give the folder site-packages/torch of a torch $VERSION install, or leave TORCH_DIR out"
    fi
    wanted=$(readlink -f "$wanted")
    if [[ $now == "$wanted" ]]; then return; fi
    mkdir -p "$deps"
    lay_view "$wanted" "$wanted"
    say "libtorch $VERSION is $wanted"
    return
  fi
  if [[ -n $now && $now == "$(readlink -f "$site")/torch" ]]; then
    report_missing
    return
  fi
  mkdir -p "$deps"
  if [[ ! -d $site/torch || -n $(fault_of "$site/torch") ]]; then
    check_python
    report_missing
    install_site
  fi
  report_missing
  lay_view "$site/torch" ../site/torch
  say "libtorch $VERSION is ready in .deps/"
}

if command -v flock >/dev/null && [[ ${SETUP_LOCKED:-} != 1 ]]; then
  mkdir -p "$deps"
  SETUP_LOCKED=1 exec flock "$deps/.lock" "$0" "$@"
fi
main
