#!/bin/sh
# Makes a kind cluster to which people log in with AWS identities of an STS emulator: NOT FOR PRODUCTION.
# Needs Go, make, a container engine, kind 0.33 or later, and kubectl. deploy/kind/down.sh removes it all.
#
#   deploy/kind/up.sh
#   KUBECONFIG=deploy/kind/state/kubeconfig kubectl auth whoami
set -eu
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
engine=${KIND_EXPERIMENTAL_PROVIDER:-docker}
node=authenticator-control-plane
arch=$(go env GOARCH)
export KUBECONFIG="$PWD/state/kubeconfig"

if [ -e state ]; then
  echo "deploy/kind/state is there already: run deploy/kind/down.sh first" >&2
  exit 1
fi

echo "==> Building"
make -C "$repository" build image ARCHS="$arch" VERSION=kind IMAGE=authenticator >/dev/null
authenticator=$repository/bin/authenticator
mkdir -p state/certificates state/webhook
"$authenticator" init -i dev --state-dir state/certificates --generate-kubeconfig state/webhook/kubeconfig.yaml >/dev/null

echo "==> Making the cluster"
kind create cluster --config cluster.yaml
kind load image-archive --name authenticator "$repository/bin/authenticator-$arch.tar"
kubectl apply -f authenticator.yaml
kubectl -n kube-system rollout status --timeout=2m daemonset/authenticator-dev

echo "==> Letting in alice"
"$engine" exec "$node" cat /var/authenticator-dev/aws-credentials >state/aws-credentials
chmod 600 state/aws-credentials
kubectl create clusterrolebinding people --clusterrole=view --group=people
for user in alice bob; do
  kubectl config set-credentials "$user" --exec-api-version=client.authentication.k8s.io/v1 \
    --exec-interactive-mode=Never --exec-command="$authenticator" \
    --exec-arg=token --exec-arg=-i --exec-arg=dev --exec-env=AWS_PROFILE="$user" --exec-env=AWS_REGION=us-east-1 \
    --exec-env=AWS_SHARED_CREDENTIALS_FILE="$PWD/state/aws-credentials" --exec-env=AWS_CONFIG_FILE=/dev/null \
    --exec-env=AWS_ACCESS_KEY_ID= --exec-env=AWS_SECRET_ACCESS_KEY= --exec-env=AWS_SESSION_TOKEN= >/dev/null
  kubectl config set-context "$user" --cluster=kind-authenticator --user="$user" >/dev/null
done
kubectl config use-context alice
kubectl auth whoami

cat <<EOF

alice is in the group people, which may view. bob is mapped nowhere, and stays out:

  export KUBECONFIG=$KUBECONFIG
  kubectl get pods -A
  kubectl --context bob get pods
  kubectl --context kind-authenticator get pods -A     # as administrator, without authenticator
EOF
