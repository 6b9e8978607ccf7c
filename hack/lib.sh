# shellcheck shell=bash
# Functions common to the scripts of hack/. Source it; it starts nothing.

# Where things are: this directory, the checkout, the tools built once for every checkout, the running clusters.
HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HACK")
CACHE=${HEADWORKS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/headworks}
STATE_ROOT=${HEADWORKS_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/headworks}
export HACK ROOT CACHE STATE_ROOT

# What the image is called here; deploy/base/deployment.yaml asks for the same, and a test holds the two together.
IMAGE=ghcr.io/headworks/headworks:dev
export IMAGE

# Words to a person go to stderr: stdout is for what a script may read (a path, a table).
say() { printf '%s\n' "$*" >&2; }
warn() { say "warning: $*"; }
die() { say "error: $*"; exit 1; }
# misuse MESSAGE: the command line is wrong. The caller defines usage().
misuse() { say "error: $*"; say; usage >&2; exit 2; }

have() { command -v "$1" >/dev/null 2>&1; }

# need COMMAND HOW: end with a sentence on how to get what is missing.
need() { have "$1" || die "\`$1\` is not installed: $2"; }

need_go() { need go 'install Go 1.26.6 or newer, https://go.dev/dl/'; }
need_cargo() { need cargo 'install Rust with https://rustup.rs; rust-toolchain.toml selects the version'; }

# elapsed SECONDS: 75 -> 1m15s
elapsed() { if (($1 < 60)); then printf '%ss' "$1"; else printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); fi; }

# tail_of FILE: the end of a log, indented, so that a failure shows its cause where it is reported.
tail_of() {
  [[ -s $1 ]] || { say "  ($1 is empty)"; return; }
  say "  last lines of $1:"
  tail -n "${2:-20}" "$1" | cut -c1-400 | sed 's/^/    /' >&2
}

# lock FILE [MESSAGE]: hold FILE exclusively, on descriptor 9, until unlock or the end of this process; says MESSAGE if it has to
# wait. What is started under the lock must not inherit it: `9>&-`. Whoever held it may have removed the file while we waited:
# then our lock is not the one the next caller would take, and we start over.
lock() {
  mkdir -p "$(dirname "$1")"
  while :; do
    exec 9>>"$1"
    flock -n 9 || { [[ -z ${2:-} ]] || say "$2"; flock 9; }
    if [[ $1 -ef /proc/self/fd/9 ]]; then return; fi
  done
}
# unlock [FILE]: let go, and leave no lock file behind.
unlock() { if [[ -n ${1:-} ]]; then rm -f "$1"; fi; exec 9>&-; }

# apt_install PACKAGE...: as root on Debian and its children, install; anywhere else say what is wanted.
apt_install() {
  if [[ $(id -u) != 0 ]] || ! have apt-get; then
    die "missing packages: install $* (Debian and Ubuntu: sudo apt-get install -y $*)"
  fi
  say "installing with apt-get: $*"
  local log
  log=$(mktemp)
  # The package lists of a fresh container are absent, and those of an old one stale.
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail_of "$log"
    die "apt-get could not install $*"
  fi
  rm -f "$log"
}
