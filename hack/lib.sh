# shellcheck shell=bash
# Functions that the scripts of hack/ share. To be sourced; sourcing starts nothing.

# Directories: this one, the checkout, the tools built once for every checkout, the running clusters.
HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HACK")
CACHE=${HEADWORKS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/headworks}
STATE_ROOT=${HEADWORKS_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/headworks}
export HACK ROOT CACHE STATE_ROOT

# The local name of the image; deploy/base/deployment.yaml uses the same, and a test compares the two.
IMAGE=ghcr.io/headworks/headworks:dev
export IMAGE

# Messages to people go to stderr; stdout is for output that a script may read (a path, a table).
say() { printf '%s\n' "$*" >&2; }
warn() { say "warning: $*"; }
die() { say "error: $*"; exit 1; }
# misuse MESSAGE: reports a wrong command line and exits with 2. The caller defines usage().
misuse() { say "error: $*"; say; usage >&2; exit 2; }

have() { command -v "$1" >/dev/null 2>&1; }

# need COMMAND HOW: exits with an error that says how to install a missing command.
need() { have "$1" || die "\`$1\` is not installed: $2"; }

need_go() { need go 'install Go 1.26.6 or newer, https://go.dev/dl/'; }
need_cargo() { need cargo 'install Rust with https://rustup.rs; rust-toolchain.toml selects the version'; }

# elapsed SECONDS: 75 -> 1m15s
elapsed() { if (($1 < 60)); then printf '%ss' "$1"; else printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); fi; }

# tail_of FILE: prints the end of a log, indented, so that a failure shows its cause.
tail_of() {
  [[ -s $1 ]] || { say "  ($1 is empty)"; return; }
  say "  last lines of $1:"
  tail -n "${2:-20}" "$1" | cut -c1-400 | sed 's/^/    /' >&2
}

# lock FILE [MESSAGE]: holds FILE exclusively, on descriptor 9, until unlock or the end of this process; prints MESSAGE if it has
# to wait. Processes started under the lock must not inherit it: `9>&-`. The previous holder may have removed the file while we
# waited; then the next caller would lock another file, and we start over.
lock() {
  mkdir -p "$(dirname "$1")"
  while :; do
    exec 9>>"$1"
    flock -n 9 || { [[ -z ${2:-} ]] || say "$2"; flock 9; }
    if [[ $1 -ef /proc/self/fd/9 ]]; then return; fi
  done
}
# unlock [FILE]: releases the lock, and removes the lock file.
unlock() { if [[ -n ${1:-} ]]; then rm -f "$1"; fi; exec 9>&-; }

# apt_install PACKAGE...: installs them as root on Debian and its derivatives; elsewhere exits with their names.
apt_install() {
  if [[ $(id -u) != 0 ]] || ! have apt-get; then
    die "missing packages: install $* (Debian and Ubuntu: sudo apt-get install -y $*)"
  fi
  say "installing with apt-get: $*"
  local log
  log=$(mktemp)
  # A fresh container has no package lists, and an old one has stale ones.
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail_of "$log"
    die "apt-get could not install $*"
  fi
  rm -f "$log"
}
