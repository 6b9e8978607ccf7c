# shellcheck shell=bash
# Daemons of one instance: started detached, recorded, and stopped only by that record.
#
# A record is the file pid/NAME of the instance's state directory: the process id and the start time of the process. The kernel
# reuses ids; an id whose start time differs belongs to another process, which is left alone.

# start_time PID: prints the start time in clock ticks since boot (field 22 of stat; the second field, the name, may itself
# contain spaces and brackets).
start_time() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split on purpose
  set -- $stat
  [[ $1 != Z && $1 != X ]] || return 1 # a zombie counts as gone
  echo "${20}"
}

# same_process PID START: succeeds if that process is still running.
same_process() { [[ $(start_time "$1") == "$2" ]]; }

# start NAME COMMAND...: runs it detached in the instance's state directory. It has a session of its own, so that neither Ctrl-C
# nor the end of the caller reaches it, and none of the caller's descriptors, because a caller that reads our output would wait
# for ever. The process writes the record itself before it becomes the command, so that it never runs unrecorded.
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
# ENTER is the command through which a daemon is started: a plain one, or one that enters the namespaces and cgroup of a node.
ENTER=(env --)

recorded() { # NAME: sets PID and START from the record
  [[ -s $STATE/pid/$1 ]] || return 1
  read -r PID START <"$STATE/pid/$1"
}
alive() { recorded "$1" && same_process "$PID" "$START"; }

# must_live NAME: exits with the end of its log if it has ended.
must_live() {
  alive "$1" || { tail_of "$STATE/log/$1.log"; die "$1 ended early"; }
}

# wait_for SECONDS WHAT DAEMON COMMAND...: waits until COMMAND succeeds; exits if DAEMON ends or the time is up.
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

# stop GRACE NAME...: sends SIGTERM to all of them, and SIGKILL to those that still run after GRACE tenths of a second.
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
