#!/usr/bin/env bash
# A `null` in a custom resource, for a field that its CRD does not call nullable.
#
# Guess: the API server treats it the same way, however the object is sent.
# Seen, Kubernetes 1.37.2 (kube-apiserver and kubectl of k8s.io/kubernetes, built by hack/cluster; headworks takes no part):
#   kubectl create                 the field is dropped, and the object is stored
#   kubectl apply                  the same, because kubectl does not send it
#   kubectl apply --server-side    refused: "in body must be of type string: \"null\""
# So a template that leaves a field blank installs with `helm template | kubectl apply`, but not with a tool that uses
# server-side apply. Fails if one of the three behaves differently.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cluster="$here/../hack/cluster"
name=finding-null
kubeconfig=$("$cluster" up --size control-plane --name "$name" --owner $$)
trap '"$cluster" down --name "$name"' EXIT
kubectl() { KUBECONFIG=$kubeconfig "$tools/kubectl" "$@"; }
tools=$("$cluster" tools)

kubectl version | tail -n 1
kubectl apply -f - <<'CRD'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things, singular: thing}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {note: {type: string}}}
CRD
kubectl wait --for=condition=Established crd/things.example.com --timeout=60s
thing() { printf '{apiVersion: example.com/v1, kind: Thing, metadata: {name: %s, namespace: default}, spec: {note: null}}' "$1"; }

until kubectl get things -n default >/dev/null 2>&1; do :; done
thing created | kubectl create -f -
thing applied | kubectl apply -f -
for stored in created applied; do
  spec=$(kubectl get thing "$stored" -n default -o jsonpath='{.spec}')
  [[ $spec == '{}' ]] || { echo "changed: $stored holds $spec" >&2; exit 1; }
done
if said=$(thing by-server | kubectl apply --server-side -f - 2>&1); then
  echo "changed: a null that is applied server-side is accepted: $said" >&2
  exit 1
fi
[[ $said == *'must be of type string: "null"'* ]] || { echo "changed: refused with another message: $said" >&2; exit 1; }
echo "as described: $said"
