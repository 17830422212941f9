// Package entries manages AccessEntry objects by principal, as "aws eks" manages
// access entries: at most one entry for a principal, whatever its object is called.
//
//	client, err := entries.New(entries.Options{Config: config})
//	if err != nil {
//		return err
//	}
//	entry, changed, err := client.Update(ctx, arn, func(e *v1alpha1.AccessEntry) error {
//		e.Spec.KubernetesGroups = []string{"developers"}
//		return nil
//	})
package entries
