package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Tool migrates a cluster.
type Tool struct {
	AWSAuth *awsauth.Client
	Entries *entries.Client
	// Progress is told what is done.
	Progress func(text string)
	// Overwrite changes access entries that say something else than the source.
	Overwrite bool
	// Remove takes from aws-auth what was carried, once the access entries are in force.
	Remove bool
	// Force removes although no server says that the access entries are in force.
	Force bool
	// Patience bounds the time until a server says so of one more entry.
	Patience time.Duration
	// Backup writes what is there before anything is written, and says where.
	Backup func(data []byte) (where string, err error)
}

// ErrNothingToDo is returned if the cluster is as the plan says.
var ErrNothingToDo = errors.New("nothing to do")

// existing returns the access entries of a cluster by principal, and the names of all with
// the ARN in each. Of several for one principal, the first is the one that stands, as in the
// server: the older, but a bad one only if there is no good one.
func (t *Tool) existing(ctx context.Context) (found map[string][]v1alpha1.AccessEntry, names map[string]string, err error) {
	found, names = map[string][]v1alpha1.AccessEntry{}, map[string]string{}
	err = t.Entries.List(ctx, func(page []v1alpha1.AccessEntry) error {
		for _, e := range page {
			names[e.Name] = e.Spec.PrincipalARN
			if p, err := iam.ParsePrincipal(e.Spec.PrincipalARN); err == nil {
				found[p.Key()] = append(found[p.Key()], e)
			}
		}
		return nil
	})
	bad := func(e *v1alpha1.AccessEntry) int { return min(len(e.Validate()), 1) }
	for _, list := range found {
		slices.SortFunc(list, func(a, b v1alpha1.AccessEntry) int {
			return cmp.Or(cmp.Compare(bad(&a), bad(&b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
		})
	}
	return found, names, err
}

// Conflicts returns an error that names the access entries in the cluster that say
// something else than the plan, if there are any.
func (t *Tool) Conflicts(ctx context.Context, p *Plan) error {
	w, err := t.work(ctx, p)
	if err != nil || len(w.conflicts) == 0 {
		return err
	}
	return conflictError(w.conflicts)
}

// work is what there is to do.
type work struct {
	create    []*v1alpha1.AccessEntry
	conflicts map[string]v1alpha1.AccessEntry // by the name of the entry of the plan
}

func (t *Tool) work(ctx context.Context, p *Plan) (work, error) {
	w := work{conflicts: map[string]v1alpha1.AccessEntry{}}
	existing, names, err := t.existing(ctx)
	if err != nil {
		return w, err
	}
	var taken []string
	for _, row := range p.Rows {
		if row.AccessEntry == nil {
			continue
		}
		found := existing[row.key()]
		other, isTaken := names[row.AccessEntry.Name]
		switch {
		case len(found) == 0 && isTaken:
			taken = append(taken, fmt.Sprintf("%s is for %q; wanted for %s", row.AccessEntry.Name, other, row.AccessEntry.Spec.PrincipalARN))
		case len(found) == 0:
			w.create = append(w.create, row.AccessEntry)
		case !sameSpec(&found[0], row.AccessEntry):
			w.conflicts[row.AccessEntry.Name] = found[0]
		}
	}
	if len(taken) > 0 {
		return w, fmt.Errorf("%d access entries for other principals have the names of those to be made; delete them, or create them anew under other names:\n  %s", len(taken), strings.Join(taken, "\n  "))
	}
	return w, nil
}

// sameSpec tells whether two entries for one principal say the same.
func sameSpec(a, b *v1alpha1.AccessEntry) bool {
	nameA, groupsA := effective(a)
	nameB, groupsB := effective(b)
	return nameA == nameB && slices.Equal(sorted(groupsA, nil), sorted(groupsB, nil)) && a.Spec.PrincipalID == b.Spec.PrincipalID &&
		cmp.Or(a.Spec.Type, v1alpha1.Standard) == cmp.Or(b.Spec.Type, v1alpha1.Standard) &&
		slices.EqualFunc(a.Spec.AccessPolicies, b.Spec.AccessPolicies, func(x, y v1alpha1.AccessPolicy) bool {
			return x.PolicyARN == y.PolicyARN && x.AccessScope.Type == y.AccessScope.Type && slices.Equal(x.AccessScope.Namespaces, y.AccessScope.Namespaces)
		})
}

// Apply does what the plan says, which Prove has proved. What is done already is not
// done again.
func (t *Tool) Apply(ctx context.Context, p *Plan) error {
	w, err := t.work(ctx, p)
	if err != nil {
		return err
	}
	if len(w.conflicts) > 0 && !t.Overwrite {
		return conflictError(w.conflicts)
	}
	removes := false
	var doc awsauth.Document
	if p.From == AWSAuth {
		if doc, err = t.AWSAuth.Get(ctx); err != nil {
			return err
		}
		if _, missing, err := p.find(doc); err != nil || len(missing) > 0 {
			return cmp.Or(err, fmt.Errorf("aws-auth was changed meanwhile (%s): run the command again", strings.Join(missing, ", ")))
		}
		removes = t.Remove && p.Count(Left) < len(p.Rows)
	}
	if len(w.create) == 0 && len(w.conflicts) == 0 && !removes {
		return ErrNothingToDo
	}
	if doc != nil || len(w.conflicts) > 0 {
		if err := t.backup(Backup{AWSAuth: doc, Removes: removes}, w); err != nil {
			return err
		}
	}
	if err := t.write(ctx, p, w); err != nil {
		return err
	}
	if err := t.proveWritten(ctx, p); err != nil {
		return fmt.Errorf("read back what was written: %w", err)
	}
	if !removes {
		return nil
	}
	if err := t.waitAccepted(ctx, p); err != nil {
		return err
	}
	return t.remove(ctx, p)
}

// proveWritten is Prove with what the API server returns now: the access entries, and
// aws-auth, in which somebody may have changed a mapping while its access entry was made.
func (t *Tool) proveWritten(ctx context.Context, p *Plan) error {
	source, rest := p.source, p.rest()
	if p.From == AWSAuth {
		doc, err := t.AWSAuth.Get(ctx)
		if err != nil {
			return err
		}
		if _, missing, err := p.find(doc); err != nil || len(missing) > 0 {
			return cmp.Or(err, changedMeanwhile(missing))
		}
		if source, err = FromAWSAuth(doc); err != nil {
			return err
		}
		rest = source.without(p)
	}
	written, err := t.written(ctx, p)
	if err != nil {
		return err
	}
	now := &Plan{From: p.From, Rows: p.Rows, source: source}
	proof, err := now.prove(ctx, written, source.mapper(), rest)
	if err != nil {
		return err
	}
	t.Progress("Read back from the API server: " + proof.String())
	if len(proof.Differences) > 0 {
		return fmt.Errorf("%d logins differ from those by %s alone; 'migrate undo' takes the access entries back:\n  %s", len(proof.Differences), p.From, proof.shown())
	}
	return nil
}

// written returns what the server makes of the access entries in the cluster that are for
// the principals of the plan, whoever wrote them.
func (t *Tool) written(ctx context.Context, p *Plan) (mapper.Mapper, error) {
	existing, _, err := t.existing(ctx)
	var list []*v1alpha1.AccessEntry
	for _, row := range p.Rows {
		if row.AccessEntry == nil {
			continue
		}
		found := existing[row.key()]
		for i := range slices.Backward(found) { // the last stands
			list = append(list, &found[i])
		}
	}
	return accessEntryMapper(list), err
}

func changedMeanwhile(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("somebody changed these mappings meanwhile, and the access entries still say what was there before; delete those with 'authenticator access-entry delete --principal-arn ARN', then run the command again: %s",
		strings.Join(missing, ", "))
}

func conflictError(conflicts map[string]v1alpha1.AccessEntry) error {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(conflicts)) {
		e := conflicts[name]
		username, groups := effective(&e)
		list = append(list, fmt.Sprintf("%s (accessentry %s): %s %q in %q", e.Spec.PrincipalARN, e.Name, e.Spec.Type, username, groups))
	}
	return fmt.Errorf("%d principals have access entries that say something else, and that decide already; --overwrite changes them, or delete their mappings from the source:\n  %s", len(list), strings.Join(list, "\n  "))
}

func (t *Tool) backup(b Backup, w work) error {
	for _, name := range slices.Sorted(maps.Keys(w.conflicts)) {
		b.Overwritten = append(b.Overwritten, w.conflicts[name])
	}
	data, err := b.Marshal()
	if err != nil {
		return err
	}
	where, err := t.Backup(data)
	if err != nil {
		return fmt.Errorf("back up what is there, before anything is written: %w", err)
	}
	t.Progress("Backed up to " + where)
	return nil
}

// write creates and changes the access entries.
func (t *Tool) write(ctx context.Context, p *Plan, w work) error {
	done, all := 0, len(w.create)+len(w.conflicts)
	progress := func(what string, e *v1alpha1.AccessEntry) {
		done++
		t.Progress(fmt.Sprintf("%d/%d accessentry %s %s", done, all, e.Name, what))
	}
	const next = "%w\nWhat was written stays; the same command goes on, and 'migrate undo' takes it back"
	for _, e := range w.create {
		created, err := t.Entries.Add(ctx, e)
		if err != nil {
			return fmt.Errorf(next, err)
		}
		progress("created", created)
	}
	for _, want := range p.Entries() {
		seen, ok := w.conflicts[want.Name]
		if !ok {
			continue
		}
		changed, _, err := t.Entries.UpdateObject(ctx, seen.Name, want.Spec.PrincipalARN, func(e *v1alpha1.AccessEntry) error {
			if e.UID != seen.UID || !reflect.DeepEqual(e.Spec, seen.Spec) {
				return fmt.Errorf("accessentry %s was changed meanwhile, and is not in the backup as it is now: run the command again", e.Name)
			}
			arn := e.Spec.PrincipalARN // which can't be changed, and names the same principal
			e.Spec = *want.Spec.DeepCopy()
			e.Spec.PrincipalARN = arn
			e.Labels = maps.Clone(e.Labels)
			if e.Labels == nil {
				e.Labels = map[string]string{}
			}
			e.Labels[Label] = p.From
			return nil
		})
		if err != nil {
			return fmt.Errorf(next, err)
		}
		progress("overwritten", changed)
	}
	return nil
}

// waitAccepted waits until a server says of every access entry of the plan that it is
// in force: a mapping must not go before the entry counts.
func (t *Tool) waitAccepted(ctx context.Context, p *Plan) error {
	var silent []string
	err := await(ctx, t.Patience, func() (left int, err error) {
		if silent, err = t.silent(ctx, p); len(silent) > 0 {
			t.Progress(fmt.Sprintf("Waiting for a server to say that %d access entries are in force…", len(silent)))
		}
		return len(silent), err
	})
	switch {
	case !errors.Is(err, errNoProgress):
		return err
	case t.Force:
		t.Progress(fmt.Sprintf("No server says that %d access entries are in force; removing nevertheless (--force)", len(silent)))
		return nil
	}
	return fmt.Errorf("no server said within %s that %d access entries are in force (%s, …), so nothing was removed from aws-auth: see that one runs with --authentication-mode=API_AND_CONFIG_MAP, or give --force",
		t.Patience, len(silent), silent[0])
}

var errNoProgress = errors.New("no progress")

// await asks until nothing is left. It is errNoProgress if not less is left for as long as
// the patience: servers write the states of many entries one after the other.
func await(ctx context.Context, patience time.Duration, ask func() (left int, err error)) error {
	const first, longest = 500 * time.Millisecond, 5 * time.Second
	var deadline time.Time
	least := math.MaxInt
	for pause := first; ; pause = min(2*pause, longest) {
		left, err := ask()
		if err != nil || left == 0 {
			return err
		}
		if left < least {
			least, deadline = left, time.Now().Add(patience)
		}
		if !time.Now().Before(deadline) {
			return errNoProgress
		}
		timer := time.NewTimer(min(pause, time.Until(deadline)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// silent returns the entries of which no server says anything. It is an error if one
// says no, or if an entry is not what was planned.
func (t *Tool) silent(ctx context.Context, p *Plan) ([]string, error) {
	existing, _, err := t.existing(ctx)
	if err != nil {
		return nil, err
	}
	var silent []string
	for _, row := range p.Rows {
		if row.AccessEntry == nil {
			continue
		}
		found := existing[row.key()]
		if len(found) == 0 || !sameSpec(&found[0], row.AccessEntry) {
			return nil, fmt.Errorf("the access entry of %s was changed or deleted meanwhile, so nothing was removed from aws-auth: run the command again", row.PrincipalARN)
		}
		switch c, known := entries.Accepted(&found[0]); {
		case !known:
			silent = append(silent, found[0].Name)
		case c.Status != metav1.ConditionTrue:
			return nil, fmt.Errorf("accessentry %s is not in force (%s: %s), so nothing was removed from aws-auth", found[0].Name, c.Reason, c.Message)
		}
	}
	return silent, nil
}

// remove takes from aws-auth what was carried. If somebody else writes at the same
// time, what they wrote is looked at anew and stays.
func (t *Tool) remove(ctx context.Context, p *Plan) error {
	removed := 0
	err := t.AWSAuth.Change(ctx, func(before awsauth.Document) (awsauth.Document, error) {
		found, missing, err := p.find(before)
		if err = cmp.Or(err, changedMeanwhile(missing)); err != nil {
			return nil, err
		}
		after, err := before.Remove(found...)
		if err != nil {
			return nil, err
		}
		if err := t.proveRemoval(ctx, p, before, after); err != nil {
			return nil, err
		}
		removed = len(found)
		return after, nil
	})
	if err != nil {
		return fmt.Errorf("remove from aws-auth what was carried, of which nothing was removed: %w", err)
	}
	t.Progress(fmt.Sprintf("Removed %d entries from aws-auth", removed))
	return nil
}

// find returns the entries of a document that were carried, or that don't count
// because of one that was. Missing are the ARNs of those that say something else now,
// or are gone.
func (p *Plan) find(d awsauth.Document) (found []awsauth.Entry, missing []string, err error) {
	all, err := d.Entries()
	if err != nil {
		return nil, nil, err
	}
	planned := map[string][]mapper.Entry{} // by principal
	for _, r := range p.Rows {
		if r.Outcome != Left {
			planned[r.key()] = append(planned[r.key()], r.mapping.Entry())
		}
	}
	for _, e := range all {
		principal, err := iam.ParsePrincipal(e.ARN)
		if err != nil || e.Problem != "" {
			continue
		}
		key := principal.Key()
		list, ours := planned[key]
		if !ours {
			continue
		}
		i := slices.IndexFunc(list, func(m mapper.Entry) bool { return says(e, m) })
		if i < 0 {
			missing = append(missing, e.ARN)
			continue
		}
		planned[key] = slices.Delete(list, i, i+1)
		found = append(found, e)
	}
	for _, key := range slices.Sorted(maps.Keys(planned)) {
		for _, m := range planned[key] {
			missing = append(missing, m.Source.ARN)
		}
	}
	slices.Sort(missing)
	return found, slices.Compact(missing), nil
}

// says tells whether an entry of a document says what a mapping does.
func says(e awsauth.Entry, m mapper.Entry) bool {
	return m.Source.Section == e.Section && m.Username == e.Username && slices.Equal(m.Groups, e.Groups) && m.UserID == e.UserID &&
		m.SessionNamePattern == e.SessionNamePattern && m.RequireTemporaryCredentials == e.RequireTemporaryCredentials
}

// proveRemoval is Prove with the access entries in the cluster, and with documents as they
// are and will be.
func (t *Tool) proveRemoval(ctx context.Context, p *Plan, before, after awsauth.Document) error {
	was, err := FromAWSAuth(before)
	if err != nil {
		return err
	}
	is, err := FromAWSAuth(after)
	if err != nil {
		return err
	}
	written, err := t.written(ctx, p)
	if err != nil {
		return err
	}
	now := &Plan{From: p.From, Rows: p.Rows, source: was}
	proof, err := now.prove(ctx, written, was.mapper(), is.mapper())
	return errors.Join(err, proof.Err())
}
