// Package bed runs a real etcd and kube-apiserver on loopback, for tests that need to know what Kubernetes
// does with our webhook rather than what we think it does.
//
//	cluster, err := bed.Start(ctx, bed.Options{WebhookKubeconfig: "webhook.yaml"})
//	if err != nil {
//		return err
//	}
//	defer cluster.Stop()
//	out, err := cluster.Kubectl(ctx, "create", "namespace", "team-a")
//
// A cluster is ready in 2 to 5 seconds. There are no controllers and no nodes in it: a namespace gets no
// service account, the aggregated roles view, edit and admin are empty, a pod is never scheduled.
package bed
