#!/usr/bin/env bash
# The part of a termination message that is kept if it is too long.
#
# Guess: the kubelet keeps the first 4,096 bytes of /dev/termination-log.
# Seen, Kubernetes 1.37.2 (kubelet, containerd; built by hack/cluster from k8s.io/kubernetes; headworks takes no part):
#   a pod of one container, 5,000 bytes written    the LAST 4,096 bytes are kept
#   a pod of four containers, 3,900 bytes written  the FIRST 3,072 bytes are kept: all containers share 12 KiB, and the
#                                                  part that exceeds a container's share is cut at the end
# So a JSON document that is too long loses its beginning in one case and its end in the other, and nothing in the pod's status
# shows that it was cut. Needs root, for a real node. Fails if either is cut differently.
set -euo pipefail
[[ $(id -u) == 0 ]] || { echo "needs root, for a real node" >&2; exit 1; }
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cluster="$here/../hack/cluster"
name=finding-cut
tools=$("$cluster" tools)
kubeconfig=$("$cluster" up --size node --name "$name" --owner $$)
trap '"$cluster" down --name "$name"' EXIT
kubectl() { KUBECONFIG=$kubeconfig "$tools/kubectl" "$@"; }
kubectl version | tail -n 1

# pod NAME LENGTH [CONTAINER...]: the first container writes `<`, dashes and `>`, LENGTH bytes in all; the others exit immediately.
pod() {
  local pod=$1 length=$2 other
  shift 2
  {
    printf '{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: default}, spec: {restartPolicy: Never, containers: [' "$pod"
    printf '{name: main, image: "busybox:1.36", command: [sh, -c, '
    printf '"(printf \\"<\\"; head -c %s /dev/zero | tr \\"\\\\\\\\0\\" \\"-\\"; printf \\">\\") > /dev/termination-log"]}' $((length - 2))
    for other; do printf ', {name: %s, image: "busybox:1.36", command: ["true"]}' "$other"; done
    printf ']}}\n'
  } | kubectl apply -f - >&2
  kubectl wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$pod" -n default --timeout=120s >&2
  kubectl get pod "$pod" -n default \
    -o jsonpath='{.status.containerStatuses[?(@.name=="main")].state.terminated.message}'
}

# expect WHAT TEXT LENGTH FIRST LAST: checks the length of the text, and its first and last character.
expect() {
  [[ ${#2} == "$3" && ${2:0:1} == "$4" && ${2: -1} == "$5" ]] && return
  echo "changed: $1: ${#2} bytes, from \`${2:0:1}\` to \`${2: -1}\`; expected $3, from \`$4\` to \`$5\`" >&2
  exit 1
}

until kubectl get serviceaccount default -n default >/dev/null 2>&1; do :; done
expect "one container" "$(pod alone 5000)" 4096 - '>'
expect "four containers" "$(pod shared 3900 b c d)" 3072 '<' -
expect "four containers, both limits" "$(pod both 5000 b c d)" 3072 - -
echo "as described: the last 4096 bytes of one, the first 3072 of what is left where four share"
