#!/bin/sh
# Removes what up.sh made.
set -eu
cd "$(dirname "$0")"
engine=${KIND_EXPERIMENTAL_PROVIDER:-docker}
# What the server wrote belongs to root.
"$engine" exec authenticator-control-plane sh -c 'rm -rf /var/aws-iam-authenticator/* /etc/kubernetes/aws-iam-authenticator/*' 2>/dev/null || true
KUBECONFIG="$PWD/state/kubeconfig" kind delete cluster --name authenticator
rm -rf state
