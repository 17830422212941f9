package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Undo takes a migration of aws-auth back: it restores aws-auth first, so that nobody
// is without access meanwhile, and then deletes the access entries that the migration
// made and restores those that it overwrote. What was changed since is an error, and
// nothing is taken back. Entries for principals that the backup does not map stay:
// another migration made them.
func (t *Tool) Undo(ctx context.Context, b Backup) error {
	if b.AWSAuth == nil {
		return errors.New("the backup has no ConfigMap aws-auth; a migration of IAMIdentityMapping objects leaves them as they are: kubectl delete accessentries -l " + Label + "=" + IdentityMappings + " takes it back")
	}
	source, err := FromAWSAuth(b.AWSAuth)
	if err != nil {
		return fmt.Errorf("the backup: %w", err)
	}
	existing, _, err := t.existing(ctx)
	if err != nil {
		return err
	}
	overwritten := map[string]v1alpha1.AccessEntry{}
	for _, e := range b.Overwritten {
		p, err := iam.ParsePrincipal(e.Spec.PrincipalARN)
		if err != nil {
			return fmt.Errorf("the backup: %w", err)
		}
		overwritten[p.Key()] = e
	}
	made, changed := madeEntries(existing, overwritten, source.standing())
	if len(changed) > 0 {
		return fmt.Errorf("%d access entries were changed since the migration, so nothing was taken back; take the label %s from those that are to stay, or the backup of an earlier run if that overwrote them:\n  %s",
			len(changed), Label, strings.Join(changed, "\n  "))
	}
	restored, err := t.restore(ctx, b, existing)
	if err != nil {
		return err
	}
	if len(made) == 0 && !restored {
		return ErrNothingToDo
	}
	for i, e := range made {
		p, err := iam.ParsePrincipal(e.Spec.PrincipalARN)
		if err != nil {
			return err
		}
		what := "deleted"
		if old, ok := overwritten[p.Key()]; ok {
			what = "restored"
			_, _, err = t.Entries.UpdateObject(ctx, e.Name, e.Spec.PrincipalARN, restoreEntry(e, old))
		} else {
			err = t.Entries.DeleteUnchanged(ctx, &e)
		}
		if err != nil {
			return fmt.Errorf("%w; the same command goes on where it ended", err)
		}
		t.Progress(fmt.Sprintf("%d/%d accessentry %s %s", i+1, len(made), e.Name, what))
	}
	return nil
}

// madeEntries returns the entries that the migration made or overwrote, and says which
// of them were changed since: the API server counts the changes of a spec.
func madeEntries(existing map[string][]v1alpha1.AccessEntry, overwritten map[string]v1alpha1.AccessEntry, mapped map[string]*mapper.Mapping) (made []v1alpha1.AccessEntry, changed []string) {
	for _, key := range slices.Sorted(maps.Keys(existing)) {
		for _, e := range existing[key] {
			if e.Labels[Label] != AWSAuth || mapped[key] == nil {
				continue
			}
			wasUID, want := e.UID, int64(1)
			if old, ok := overwritten[key]; ok {
				if e.UID == old.UID && reflect.DeepEqual(e.Spec, old.Spec) { // not yet overwritten, or changed back
					continue
				}
				wasUID, want = old.UID, old.Generation+1
			}
			switch {
			case len(existing[key]) > 1:
				changed = append(changed, fmt.Sprintf("%s: there is another entry for %s", e.Name, e.Spec.PrincipalARN))
			case e.UID != wasUID || e.Generation != want:
				changed = append(changed, e.Name)
			default:
				made = append(made, e)
			}
		}
	}
	return made, changed
}

func restoreEntry(seen, old v1alpha1.AccessEntry) func(*v1alpha1.AccessEntry) error {
	return func(e *v1alpha1.AccessEntry) error {
		if e.UID != seen.UID || e.Generation != seen.Generation || e.Labels[Label] == "" {
			return fmt.Errorf("accessentry %s was changed meanwhile, and stays as it is", e.Name)
		}
		e.Spec = *old.Spec.DeepCopy()
		e.Labels = maps.Clone(e.Labels)
		if from, ok := old.Labels[Label]; ok { // an earlier migration made it
			e.Labels[Label] = from
		} else {
			delete(e.Labels, Label)
		}
		return nil
	}
}

// restore gives aws-auth the text of the backup, if all that it lacks was removed by the
// migration because access entries stand in its place. What somebody else removed was
// meant to be gone.
func (t *Tool) restore(ctx context.Context, b Backup, existing map[string][]v1alpha1.AccessEntry) (bool, error) {
	restored := false
	err := t.AWSAuth.Change(ctx, func(now awsauth.Document) (awsauth.Document, error) {
		restored = false
		if equalTexts(now, b.AWSAuth) {
			return now, nil
		}
		removed := b.AWSAuth
		if b.Removes {
			var err error
			if removed, err = withoutMissing(b.AWSAuth, now, existing); err != nil {
				return nil, err
			}
		}
		if !equalTexts(now, removed) {
			return nil, errors.New("aws-auth was changed since the migration, so nothing was taken back:\n" + awsauth.Diff(removed, now) +
				"Take the backup of the run with --remove, if that removed them. Else put the mappings that are missing back by hand (they are in the backup), then delete the access entries with kubectl delete accessentries -l " + Label + "=" + AWSAuth)
		}
		restored = true
		return b.AWSAuth, nil
	})
	if err == nil && restored {
		t.Progress("Restored aws-auth")
	}
	return restored, err
}

// withoutMissing returns the backup without the entries that the present document
// lacks and that have access entries.
func withoutMissing(backup, now awsauth.Document, existing map[string][]v1alpha1.AccessEntry) (awsauth.Document, error) {
	all, err := backup.Entries()
	if err != nil {
		return nil, err
	}
	present, err := now.Entries()
	if err != nil {
		return nil, err
	}
	var missing []awsauth.Entry
	for _, e := range slices.Backward(all) {
		p, err := iam.ParsePrincipal(e.ARN)
		if err != nil || e.Problem != "" || len(existing[p.Key()]) == 0 {
			continue
		}
		if i := slices.IndexFunc(present, func(o awsauth.Entry) bool { return sameEntry(o, e) }); i >= 0 {
			present = slices.Delete(present, i, i+1)
			continue
		}
		missing = append(missing, e)
	}
	return backup.Remove(missing...)
}

// sameEntry tells whether two entries say the same, wherever they stand.
func sameEntry(a, b awsauth.Entry) bool {
	return a.Section == b.Section && a.ARN == b.ARN && a.Username == b.Username && slices.Equal(a.Groups, b.Groups) &&
		a.UserID == b.UserID && a.Problem == b.Problem
}

// equalTexts tells whether two documents have the same texts. An empty one is as good
// as none.
func equalTexts(a, b awsauth.Document) bool {
	for _, d := range []awsauth.Document{a, b} {
		for key := range d {
			if a[key] != b[key] {
				return false
			}
		}
	}
	return true
}
