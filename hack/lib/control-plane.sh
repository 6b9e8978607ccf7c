# shellcheck shell=bash
# etcd, kube-apiserver and kube-controller-manager: the parts that all sizes share, and the sizes that need no root.
#
# Daemons run in the state directory and get relative paths: the path of a Unix socket may have at most 107 bytes, and a long home
# directory may exceed that. etcd listens on sockets only: it has no accounts, so none of its ports may be open to other users.

SERVICE_RANGE=10.96.0.0/16
SERVICE_RANGE_6=fd00:10:96::/112 # for Services that ask for it; the default family is IPv4
SERVICE_ADDRESS=10.96.0.1 # the first of the range: the Service `kubernetes`

kc() { "$TOOLS/kubectl" --kubeconfig "$STATE/kubeconfig" --cache-dir "$STATE/kubectl-cache" "$@"; }

# certificates SERVER_URL ADDRESS,...: makes a CA for this instance alone, so that no instance is ever mistaken for another.
certificates() {
  local pki
  pki=$(own_tool pki)
  "$pki" "$STATE/pki" "$1" \
    "serving:apiserver:localhost,kubernetes,kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster.local,$SERVICE_ADDRESS,$2" \
    "serving:kubelet-serving:$NODE_NAME,$NODE_ADDRESS" \
    client:admin:headworks-admin=system:masters \
    client:apiserver-kubelet:kube-apiserver-kubelet-client=system:masters \
    client:controller-manager:system:kube-controller-manager \
    client:scheduler:system:kube-scheduler \
    client:proxy:system:kube-proxy \
    "client:kubelet:system:node:$NODE_NAME=system:nodes"
  cp "$STATE/pki/admin.kubeconfig" "$STATE/kubeconfig"
}

start_etcd() {
  start etcd "$TOOLS/etcd" --name=headworks --data-dir=etcd --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=unix://etcd.sock --advertise-client-urls=unix://etcd.sock \
    --listen-peer-urls=unix://peer.sock --initial-advertise-peer-urls=unix://peer.sock --initial-cluster=headworks=unix://peer.sock
  wait_for 60 'etcd opens its socket' etcd test -S "$STATE/etcd.sock"
}

# start_apiserver FLAG...
start_apiserver() {
  cat >"$STATE/audit.yaml" <<'END'
# Every call, without its body: tests count and order the calls of the program under test.
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
END
  printf '%s\n' "$@" >"$STATE/apiserver.flags" # for restart_apiserver
  start kube-apiserver "$TOOLS/kube-apiserver" --etcd-servers=unix://etcd.sock \
    --service-cluster-ip-range="$SERVICE_RANGE,$SERVICE_RANGE_6" --allow-privileged=true --authorization-mode=Node,RBAC \
    --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=pki/sa.pub --service-account-signing-key-file=pki/sa.key \
    --audit-policy-file=audit.yaml --audit-log-path=audit.log --audit-log-maxsize=1000 "$@"
}

# apiserver_ready: succeeds if the API server is healthy and the namespaces that every cluster has exist.
apiserver_ready() { kc get --raw /readyz && kc get namespace default; }

start_controller_manager() {
  # Without the raised limits the controllers are the slowest part of every benchmark (by default 20 calls/s and 5 workers).
  # Port 0 means no port: nothing queries it, and a port that is not used cannot be taken.
  start kube-controller-manager "$TOOLS/kube-controller-manager" --kubeconfig=pki/controller-manager.kubeconfig --secure-port=0 --leader-elect=false \
    --service-account-private-key-file=pki/sa.key --use-service-account-credentials=true --root-ca-file=pki/ca.crt \
    --cluster-signing-cert-file=pki/ca.crt --cluster-signing-key-file=pki/ca.key --controllers='*,-node-ipam-controller' \
    --flex-volume-plugin-dir="$STATE/flex" --kube-api-qps=1000 --kube-api-burst=2000 --concurrent-job-syncs=50
}

# wait_for_controllers: waits until pods can be created; none is admitted without its service account.
wait_for_controllers() { wait_for 180 'the default service account exists' kube-controller-manager kc get serviceaccount default; }

start_scheduler() {
  start kube-scheduler "$TOOLS/kube-scheduler" --kubeconfig=pki/scheduler.kubeconfig --secure-port=0 --leader-elect=false \
    --kube-api-qps=1000 --kube-api-burst=2000
}

# control_plane_up: starts all of it on 127.0.0.1.
control_plane_up() {
  start_etcd
  apiserver_on_a_free_port
  if [[ -x $TOOLS/kube-controller-manager ]]; then
    start_controller_manager
    wait_for_controllers
  else
    say "no kube-controller-manager in $TOOLS: Jobs are stored but nothing runs them"
  fi
}

# apiserver_up FLAG...: starts it and waits until it is ready. Fails if its port is taken by another process.
apiserver_up() {
  local deadline=$((SECONDS + 180))
  start_apiserver "$@"
  until apiserver_ready >/dev/null 2>&1; do
    if ! alive kube-apiserver; then
      grep -q 'address already in use' "$STATE/log/kube-apiserver.log" || must_live kube-apiserver
      rm -f "$STATE/pid/kube-apiserver"
      return 1
    fi
    ((SECONDS < deadline)) || { tail_of "$STATE/log/kube-apiserver.log"; die 'the API server is not ready in time'; }
    sleep 0.1
  done
}

# apiserver_on_a_free_port: starts it on a free port. A port that is free now may be taken a moment later, by an instance that
# starts in parallel. Then the API server ends with "address already in use", and another port is tried. Another server on our
# port is never mistaken for ours, because the kubeconfig trusts only this instance's CA.
apiserver_on_a_free_port() {
  local port tries=0
  while :; do
    port=$(free_port)
    certificates "https://127.0.0.1:$port" 127.0.0.1
    ! apiserver_up --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$port" --endpoint-reconciler-type=none || return 0
    ((++tries < 5)) || must_live kube-apiserver
  done
}

# free_port: prints a free port below the range that the kernel uses for outgoing connections.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    # shellcheck disable=SC2188 # opening is the test
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# simulated_up: starts a control plane with one simulated node, on which pods of Jobs complete immediately: for load tests only.
simulated_up() {
  control_plane_up
  start_scheduler
  # kwok's own stages come with its module; the module cache may have been cleared since the tool was built.
  need_go
  local stage file
  stage=$(cd "$HACK/tools/node" && go mod download sigs.k8s.io/kwok && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
  for file in "$stage"/pod/fast/pod-*.yaml "$stage"/node/fast/node-initialize.yaml "$stage"/node/heartbeat-with-lease/node-*.yaml; do
    echo '---'
    cat "$file"
  done >"$STATE/stages.yaml"
  start kwok "$TOOLS/kwok" --kubeconfig=kubeconfig --config=stages.yaml --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake --node-lease-duration-seconds=40
  kc apply -f - >/dev/null <<'END'
apiVersion: v1
kind: Node
metadata:
  name: simulated
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: simulated, kubernetes.io/os: linux, kubernetes.io/arch: amd64}
status:
  allocatable: {cpu: "1000", memory: 1Ti, pods: "100000"}
  capacity: {cpu: "1000", memory: 1Ti, pods: "100000"}
END
  wait_for 30 'the simulated node is Ready' kwok kc wait --for=condition=Ready node/simulated --timeout=1s
}
