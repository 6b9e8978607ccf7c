# shellcheck shell=bash
# The programs of the local cluster, built from pinned Go modules into a cache outside the checkout.
#
# Only Go modules are downloaded, which go.sum pins to the byte. The cache directory is named after a hash of the pins and the
# flags, so that a checkout always runs the versions that it names, and checkouts with the same pins share the directory.

KUBERNETES_VERSION=v1.37.2
VERSION_PACKAGE=k8s.io/component-base/version
# kubectl needs its own version to know what the server supports.
KUBERNETES_LDFLAGS="-s -w -X $VERSION_PACKAGE.gitVersion=$KUBERNETES_VERSION -X $VERSION_PACKAGE.gitMajor=1 -X $VERSION_PACKAGE.gitMinor=37 -X $VERSION_PACKAGE.gitTreeState=clean"
NODE_TAGS=no_btrfs,no_zfs,no_devmapper

# shellcheck disable=SC2034 # read by hack/cluster
{
  CONTROL_PLANE_TOOLS=(etcd kube-apiserver kube-controller-manager kubectl)
  SIMULATED_TOOLS=("${CONTROL_PLANE_TOOLS[@]}" kube-scheduler kwok)
  NODE_TOOLS=("${CONTROL_PLANE_TOOLS[@]}" kube-scheduler kubelet kube-proxy containerd containerd-shim-runc-v2 ctr)
  ALL_TOOLS=("${NODE_TOOLS[@]}" kwok)
}

# tools_dir: prints the directory of the pinned tools; it may not exist yet.
tools_dir() {
  local hash
  hash=$({ cat "$HACK"/tools/{kubernetes,node}/go.{mod,sum}; echo "$KUBERNETES_LDFLAGS $NODE_TAGS $(uname -sm)"; } | sha256sum | cut -c1-12)
  echo "$CACHE/tools-$hash"
}

# compile TOOL OUT: becomes `go build` by exec, so that killing one kills the other. Run it in the background.
compile() {
  local tool=$1 out=$2 module package tags='' ldflags='-s -w'
  case $tool in
    etcd) module=kubernetes package=go.etcd.io/etcd/server/v3 ;;
    kwok) module=node package=sigs.k8s.io/kwok/cmd/kwok tags=$NODE_TAGS ;;
    containerd* | ctr) module=node package=github.com/containerd/containerd/v2/cmd/$tool tags=$NODE_TAGS ;;
    *) module=kubernetes package=k8s.io/kubernetes/cmd/$tool ldflags=$KUBERNETES_LDFLAGS ;;
  esac
  exec go build -C "$HACK/tools/$module" -trimpath ${tags:+-tags "$tags"} -ldflags="$ldflags" -o "$out" "$package" 9>&-
}

# ensure_tools TOOL...: builds missing tools, one after the other, and sets TOOLS to their directory.
#
# Each binary is renamed into place when it is complete: an interrupted build continues where it stopped, and a parallel caller
# waits for the lock and then finds everything built.
ensure_tools() {
  TOOLS=$(tools_dir)
  local tool n=0 missing=()
  missing_tools "$@"
  ((${#missing[@]})) || return 0
  need_go
  lock "$TOOLS.lock" "another build of the tools is running: waiting for it (see $TOOLS)"
  missing_tools "$@"
  if ((${#missing[@]})); then
    say "building ${#missing[@]} tools of the local cluster into $TOOLS"
    say "once per machine and set of pins: about 9 minutes on two cores, seconds where Go's build cache is warm"
    mkdir -p "$TOOLS"
    local started=$SECONDS
    for tool in "${missing[@]}"; do build_one "$tool" $((++n)) ${#missing[@]}; done
    say "tools built in $(elapsed $((SECONDS - started)))"
  fi
  unlock "$TOOLS.lock"
}

missing_tools() {
  missing=()
  for tool; do if [[ ! -x $TOOLS/$tool ]]; then missing+=("$tool"); fi; done
}

# build_one TOOL N OF: builds a tool and prints a line when it starts, every half minute, and when it is done; no terminal is
# needed.
build_one() {
  local tool=$1 at="[$2/$3]" started=$SECONDS log=$TOOLS/$1.log part=$TOOLS/.$1.part pid next=30
  say "$at $tool ..."
  compile "$tool" "$part" >"$log" 2>&1 &
  pid=$!
  trap 'kill $pid 2>/dev/null; exit 130' INT TERM # bash lets background commands ignore Ctrl-C
  while kill -0 $pid 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - started >= next)); then say "$at $tool: still building, $(elapsed $((SECONDS - started)))"; next=$((next + 30)); fi
  done
  if ! wait $pid; then
    tail_of "$log"
    die "could not build $tool. If a module could not be downloaded: the Go module proxy must be reachable (go env GOPROXY)"
  fi
  trap - INT TERM
  mv "$part" "$TOOLS/$tool"
  rm -f "$log"
  say "$at $tool: $(elapsed $((SECONDS - started)))"
}

# own_tool NAME: builds one of the small programs of hack/tools/local if its source changed, and prints its path.
own_tool() {
  local name=$1 source=$HACK/tools/local hash out
  hash=$(cat "$source/go.mod" "$source/$name"/*.go | sha256sum | cut -c1-12)
  out=$CACHE/local-$hash/$name
  if [[ ! -x $out ]]; then
    need_go
    mkdir -p "$(dirname "$out")"
    # Parallel callers each build a copy and rename it: a build takes a second, so no lock is needed.
    go build -C "$source" -trimpath -o "$out.$$" "./$name" >&2 9>&- || die "could not build hack/tools/local/$name"
    mv "$out.$$" "$out"
  fi
  echo "$out"
}
