# shellcheck shell=bash
# Daemons that belong to one instance: started detached, recorded, and ended by that record alone.
#
# A record is the file pid/NAME of the instance's state directory: the process id and the time that process started. The kernel
# gives ids again; an id whose start time differs is somebody else's process and is left alone.

# start_time PID: in clock ticks since boot (field 22 of stat; the second field, the name, may itself contain spaces and brackets).
start_time() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split on purpose
  set -- $stat
  [[ $1 != Z && $1 != X ]] || return 1 # a zombie is no longer there
  echo "${20}"
}

# same_process PID START: is that very process still running?
same_process() { [[ $(start_time "$1") == "$2" ]]; }

# start NAME COMMAND...: run detached in the instance's state directory, in a session of its own so that neither Ctrl-C nor the
# end of the caller reaches it, holding none of the caller's descriptors: a caller that reads our output would wait for ever.
# The record is written by the process itself before it becomes the command, so that no moment exists in which it runs unrecorded.
start() {
  local name=$1
  shift
  (cd "$STATE" && exec setsid -- "${ENTER[@]}" bash -c '
    name=$1; shift
    read -r stat </proc/$$/stat; set -f; rest=(${stat##*) })
    echo "$$ ${rest[19]}" >"pid/$name"
    exec "$@"' headworks "$name" "$@" </dev/null >"$STATE/log/$name.log" 2>&1 8>&- 9>&-) &
  local tries=0
  until [[ -s $STATE/pid/$name ]]; do
    ((tries++ < 3000)) || { tail_of "$STATE/log/$name.log"; die "$name did not start"; }
    sleep 0.02
  done
}
# ENTER is what a daemon is started through: nothing, or the network namespace and cgroup of a node.
ENTER=(env --)

recorded() { # NAME: set PID and START from the record
  [[ -s $STATE/pid/$1 ]] || return 1
  read -r PID START <"$STATE/pid/$1"
}
alive() { recorded "$1" && same_process "$PID" "$START"; }

# must_live NAME: end with its log if it has ended.
must_live() {
  alive "$1" || { tail_of "$STATE/log/$1.log"; die "$1 ended early"; }
}

# wait_for SECONDS WHAT DAEMON COMMAND...: until COMMAND succeeds, DAEMON ends or the time is up.
wait_for() {
  local limit=$1 what=$2 daemon=$3 deadline
  shift 3
  deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    must_live "$daemon"
    ((SECONDS < deadline)) || { tail_of "$STATE/log/$daemon.log"; die "$what: not within ${limit}s"; }
    sleep 0.1
  done
}

# stop GRACE NAME...: SIGTERM to all of them, SIGKILL to those that are still there after GRACE tenths of a second.
stop() {
  local left=$1 name running=()
  shift
  for name; do
    if alive "$name"; then kill -TERM "$PID" 2>/dev/null || true; running+=("$name"); fi
  done
  while ((${#running[@]})); do
    local still=()
    for name in "${running[@]}"; do if alive "$name"; then still+=("$name"); fi; done
    running=("${still[@]}")
    ((${#running[@]})) || break
    if ((left-- <= 0)); then
      for name in "${running[@]}"; do if alive "$name"; then kill -KILL "$PID" 2>/dev/null || true; fi; done
    fi
    sleep 0.1
  done
  for name; do rm -f "$STATE/pid/$name"; done
}
