# shellcheck shell=bash
# The size with a real node: the control plane, containerd, kubelet and kube-proxy inside one network namespace, as root.
#
#   host                          network namespace
#   hwN 10.243.N.1/30  <-veth->   uplink 10.243.N.2/30   the API server, as the kubeconfig names it
#                                 cni0   10.244.0.1/24   the node; its pods are 10.244.0.10 and up
#
# The host reaches the API server and node ports at 10.243.N.2; the API server and pods reach a program on the host at 10.243.N.1.
# No other traffic leaves the namespace: pods have no internet and no DNS server.
#
# Both the network namespace and a mount namespace are held by processes and have no name: when the last process ends, however
# it ends, the kernel removes addresses, rules and mounts. Every process is in the cgroup headworks-NAME, so that `down` finds
# each container even if containerd is dead.

# shellcheck disable=SC2034 # read by certificates()
NODE_NAME=node1 NODE_ADDRESS=10.244.0.1

# Paths that are fixed in kubelet and the CNI library. Each cluster has its own, by a mount that only it sees.
FIXED_PATHS=(/var/lib/cni /var/lib/kubelet /var/log/containers)

node_paths() {
  CGROUP=headworks-$NAME
  RUN=/run/headworks/$NAME # sockets: their paths must be short
}

# node_requirements: checks for root, and installs the programs that no Go module provides.
node_requirements() {
  [[ $(id -u) == 0 ]] || die 'a real node needs root: run this with sudo, or ask for `--size control-plane`, which does not'
  local pair missing=()
  for pair in ip:iproute2 nsenter:util-linux runc:runc iptables:iptables conntrack:conntrack busybox:busybox-static; do
    have "${pair%:*}" || missing+=("${pair#*:}")
  done
  cni_plugins >/dev/null || missing+=(containernetworking-plugins)
  if ((${#missing[@]})); then apt_install "${missing[@]}"; fi
}

cni_plugins() {
  local dir
  for dir in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
    if [[ -x $dir/bridge ]]; then echo "$dir"; return; fi
  done
  return 1
}

node_up() {
  node_paths
  mkdir -p "$RUN" "$STATE"/{cni,containerd,kubelet,logs}
  make_cgroups
  make_namespaces
  make_network
  start_etcd
  certificates "https://$UPLINK:6443" "127.0.0.1,$NODE_ADDRESS,$UPLINK"
  # Aggregator routing: webhooks named by a Service are called at the pods' addresses.
  start_apiserver --bind-address=0.0.0.0 --advertise-address="$NODE_ADDRESS" --secure-port=6443 --enable-aggregator-routing=true \
    --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority=pki/ca.crt \
    --kubelet-client-certificate=pki/apiserver-kubelet.crt --kubelet-client-key=pki/apiserver-kubelet.key
  start_containerd # while the API server gets ready
  wait_for 60 'the API server is ready' kube-apiserver apiserver_ready
  start_controller_manager
  start_scheduler
  start_kubelet
  wait_for 60 'the node registers' kubelet kc get node "$NODE_NAME"
  start_proxy # only now: if its node does not exist it waits for half a minute
  wait_for 60 'the node is Ready' kubelet kc wait --for=condition=Ready "node/$NODE_NAME" --timeout=1s
  wait_for_controllers
}

# make_namespaces: starts the process that holds them; every other daemon is started through it.
make_namespaces() {
  local path
  for path in "${FIXED_PATHS[@]}"; do
    mkdir -p "$STATE/fixed$path"
    mkdir -p "$path"
  done
  ENTER=(bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' enter "$(cgroup_of_daemons)" unshare --mount --net --propagation private)
  start holder bash -c 'for path; do mount --bind "fixed$path" "$path"; done; touch held; exec sleep infinity' headworks "${FIXED_PATHS[@]}"
  wait_for 10 'namespaces are made' holder test -e "$STATE/held"
  recorded holder
  # Entering a mount namespace leads to its root directory: go back to the state directory.
  # shellcheck disable=SC2034 # read by start()
  ENTER=(bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec nsenter "--mount=/proc/$1/ns/mnt" "--net=/proc/$1/ns/net" -- bash -c '\''cd "$0" && exec "$@"'\'' "${@:2}"'
    enter "$(cgroup_of_daemons)" "$PID" "$STATE")
  HOLDER=$PID
}

# in_network COMMAND...: runs it in the cluster's network namespace.
in_network() { nsenter "--net=/proc/$HOLDER/ns/net" -- "$@"; }

make_network() {
  local n
  in_network ip link set lo up
  in_network ip link add cni0 type bridge
  in_network ip addr add "$NODE_ADDRESS/24" dev cni0
  in_network ip link set cni0 up
  in_network ip route add "$SERVICE_RANGE" dev cni0 # kube-proxy rewrites these, but the kernel sends only packets that have a route
  in_network ip route add unreachable default       # other destinations fail immediately instead of timing out
  for ((n = 0; n < 250; n++)); do
    if ip -4 -o addr | grep -q " 10\.243\.$n\."; then continue; fi
    # Creating the device reserves the number: if two instances try, one fails and tries the next.
    if ip link add "hw$n" type veth peer name uplink netns "$HOLDER" 2>/dev/null; then break; fi
  done
  ((n < 250)) || die 'no network 10.243.N.0/30 is free: see `ip addr` and `hack/cluster status`'
  echo "hw$n" >"$STATE/uplink"
  UPLINK=10.243.$n.2
  ip addr add "10.243.$n.1/30" dev "hw$n"
  ip link set "hw$n" up
  in_network ip addr add "$UPLINK/30" dev uplink
  in_network ip link set uplink up
  in_network bash -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet'
  # The host has no route to pods, so packets from a pod to the host get the uplink's address.
  in_network iptables -t nat -A POSTROUTING -s 10.244.0.0/24 -o uplink -j MASQUERADE
}

# cgroup_roots: prints the mount points: one with version 2, one for each controller with version 1.
cgroup_roots() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts; }

cgroup_of_daemons() {
  local root
  root=$(cgroup_roots | grep -m1 -E '/pids$' || cgroup_roots | head -n1)
  echo "$root/$CGROUP/daemons"
}

make_cgroups() {
  local root file
  for root in $(cgroup_roots); do
    mkdir -p "$root/$CGROUP" 2>/dev/null || continue # the kubelet does without a hierarchy that cannot be changed here
    for file in cpuset.cpus cpuset.mems; do
      # Version 1 starts a cpuset empty, and nothing may enter an empty one.
      if [[ -f $root/cgroup.clone_children && -f $root/$file ]]; then cp "$root/$file" "$root/$CGROUP/$file"; fi
    done
  done
  mkdir -p "$(cgroup_of_daemons)"
}

start_containerd() {
  local plugins
  plugins=$(cni_plugins)
  cat >"$STATE/containerd.toml" <<END
version = 3
root = "$STATE/containerd"
state = "$RUN/containerd"
[grpc]
  address = "$RUN/containerd.sock"
[ttrpc]
  address = "$RUN/containerd.sock.ttrpc"
[plugins."io.containerd.shim.v1.manager"]
  socket_dir = "$RUN/s"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containerd/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true   # where the score may not be lowered, runc dies with "can't get final child's PID from pipe: EOF"
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      Root = "$RUN/runc"
      SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["$plugins"]
  conf_dir = "$STATE/cni"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "headworks.invalid/pause:local"
END
  cat >"$STATE/cni/10-bridge.conflist" <<END
{"cniVersion": "1.0.0", "name": "headworks-$NAME", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$STATE/cni/networks", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
  start containerd env PATH="$TOOLS:$PATH" "$TOOLS/containerd" -c containerd.toml
  wait_for 20 'containerd answers' containerd ctr_ version
  # No registry is asked for anything: the pause image and busybox are made from this machine's busybox.
  local image
  image=$(own_tool image)
  "$image" --base busybox --cmd '["/bin/sleep", "2147483647"]' headworks.invalid/pause:local "$STATE/pause.tar"
  "$image" --base busybox --cmd '["/bin/sh"]' docker.io/library/busybox:latest "$STATE/busybox.tar"
  load_images "$STATE/pause.tar" "$STATE/busybox.tar"
  # The name that the examples use.
  ctr_ images tag docker.io/library/busybox:latest docker.io/library/busybox:1.36 >/dev/null
}

ctr_() { "$TOOLS/ctr" --address "$RUN/containerd.sock" --namespace k8s.io "$@"; }

load_images() {
  local tar log
  log=$(mktemp)
  for tar; do
    ctr_ images import "$tar" >"$log" 2>&1 || { tail_of "$log"; rm -f "$log"; die "$tar: could not be loaded"; }
  done
  rm -f "$log"
}

start_kubelet() {
  cat >"$STATE/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP            # or the kubelets of two clusters would end each other's pods as orphans
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix://$RUN/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet-serving.crt
tlsPrivateKeyFile: $STATE/pki/kubelet-serving.key
podLogsDir: $STATE/logs
volumePluginDir: $STATE/kubelet/plugins
failSwapOn: false
localStorageCapacityIsolation: false  # cadvisor cannot tell every disk
evictionHard: {memory.available: "100Mi"}
imageGCHighThresholdPercent: 100      # a loaded image cannot be pulled again
maxPods: 200
resolvConf: ""
syncFrequency: 10s                    # changed Secrets reach their mounts sooner
END
  start kubelet env PATH="$TOOLS:$PATH" "$TOOLS/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$STATE/pki/kubelet.kubeconfig" \
    --root-dir="$STATE/kubelet" --hostname-override="$NODE_NAME" --node-ip="$NODE_ADDRESS"
}

start_proxy() {
  cat >"$STATE/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $STATE/pki/proxy.kubeconfig}
mode: iptables
clusterCIDR: 10.244.0.0/24
hostnameOverride: $NODE_NAME
iptables: {minSyncPeriod: 0s}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s} # touch no sysctl it may not
END
  start kube-proxy "$TOOLS/kube-proxy" --config="$STATE/proxy.yaml"
}

# node_clean: removes what is left of a node when its daemons are stopped: containers, and with them the namespaces; cgroups,
# directories.
node_clean() {
  node_paths
  kill_cgroup
  if [[ -s $STATE/uplink ]]; then ip link del "$(<"$STATE/uplink")" 2>/dev/null || true; fi # now, because the kernel may do it later
  local root path
  for root in $(cgroup_roots); do
    if [[ -d $root/$CGROUP ]]; then find "$root/$CGROUP" -depth -type d -exec rmdir {} \; 2>/dev/null || true; fi
  done
  rm -rf "$RUN"
  # Removing a directory also removes another cluster's mount on it, so only the last cluster does it.
  if rmdir /run/headworks 2>/dev/null; then
    for path in "${FIXED_PATHS[@]}"; do rmdir "$path" 2>/dev/null || true; done
  fi
}

# kill_cgroup: kills every process of every container, and the shims. All of them are below our cgroup, and no other process is.
kill_cgroup() {
  local tries pids
  for ((tries = 0; tries < 100; tries++)); do
    pids=$(for root in $(cgroup_roots); do find "$root/$CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done | sort -un)
    [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086 # one word per id
    kill -KILL $pids 2>/dev/null || true
    sleep 0.1
  done
  warn "processes of $CGROUP do not end: ${pids//$'\n'/ }"
}
