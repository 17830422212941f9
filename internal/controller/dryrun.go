package controller

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// Plan is what a controller would do, were it started.
type Plan struct {
	Steps []Step
	// Problems are what keeps policies from being in force, by entry.
	Problems []string
	Entries  int // with policies
}

// The actions of steps.
const (
	ActionHold    = "hold"    // put the finalizer on an entry
	ActionRelease = "release" // take it off
	ActionCreate  = "create"
	ActionRepair  = "repair"  // make a binding what it should be
	ActionReplace = "replace" // delete it and create it, as its role can't be changed
	ActionDelete  = "delete"
)

// Step is a change of one object.
type Step struct {
	Action    string `json:"action"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Entry     string `json:"entry,omitempty"` // empty if it is gone
	Policy    string `json:"policy,omitempty"`

	// Object is a binding as it should be, or for ActionDelete nil.
	Object client.Object `json:"object,omitempty"`
}

// DryRun reads what there is, and returns what a controller with the options would do.
// It writes nothing.
func DryRun(ctx context.Context, o Options) (*Plan, error) {
	reader, err := client.New(o.Config, client.Options{Scheme: Scheme()})
	if err != nil {
		return nil, err
	}
	var entries v1alpha1.AccessEntryList
	if err := reader.List(ctx, &entries); err != nil {
		return nil, err
	}
	c, err := readCluster(ctx, reader, o.Ceiling)
	if err != nil {
		return nil, err
	}
	all, err := readBindings(ctx, reader)
	if err != nil {
		return nil, err
	}
	return dryRun(entries.Items, all, c), nil
}

// readBindings returns all bindings there are: what stands in the way may be anybody's.
func readBindings(ctx context.Context, reader client.Reader) (map[types.NamespacedName]*binding, error) {
	var inCluster rbacv1.ClusterRoleBindingList
	var inNamespaces rbacv1.RoleBindingList
	if err := reader.List(ctx, &inCluster); err != nil {
		return nil, err
	}
	if err := reader.List(ctx, &inNamespaces); err != nil {
		return nil, err
	}
	all := map[types.NamespacedName]*binding{}
	for i := range inCluster.Items {
		b := bindingOf(&inCluster.Items[i])
		all[b.key()] = b
	}
	for i := range inNamespaces.Items {
		b := bindingOf(&inNamespaces.Items[i])
		all[b.key()] = b
	}
	return all, nil
}

func dryRun(entries []v1alpha1.AccessEntry, all map[types.NamespacedName]*binding, c cluster) *Plan {
	made := map[types.UID][]*binding{}
	for _, b := range all {
		if b.made() {
			uid := types.UID(b.labels[entryLabel])
			made[uid] = append(made[uid], b)
		}
	}
	p := &Plan{Steps: []Step{}}
	for i := range entries {
		e := &entries[i]
		p.add(newPlan(e, made[e.UID], c), all)
		delete(made, e.UID)
	}
	orphans := slices.Concat(slices.Collect(maps.Values(made))...)
	slices.SortFunc(orphans, compareBindings)
	for _, b := range orphans {
		p.Steps = append(p.Steps, step(ActionDelete, b, ""))
	}
	return p
}

// add adds the plan of an entry.
func (p *Plan) add(of *plan, all map[types.NamespacedName]*binding) {
	name := of.entry.Name
	if len(of.results) > 0 {
		p.Entries++
	}
	entry := Step{Kind: entryKind, Name: name, Entry: name}
	if of.hold {
		entry.Action = ActionHold
		p.Steps = append(p.Steps, entry)
	}
	for _, b := range of.remove {
		p.Steps = append(p.Steps, step(ActionDelete, b, name))
	}
	repair := func(c change) {
		action := ActionRepair
		if c.anew {
			action = ActionReplace
		}
		p.Steps = append(p.Steps, step(action, c.want, name))
	}
	for _, c := range of.repair {
		repair(c)
	}
	for _, b := range of.create {
		have, taken := all[b.key()]
		switch {
		case !taken:
			p.Steps = append(p.Steps, step(ActionCreate, b, name))
		case have.belongsTo(of.entry.UID):
			repair(change{have: have, want: b, anew: have.role != b.role})
		default:
			p.Problems = append(p.Problems, name+": "+failed(ActionCreate, b, errNameTaken).Error())
		}
	}
	if of.release {
		entry.Action = ActionRelease
		p.Steps = append(p.Steps, entry)
	}
	for _, r := range of.results {
		if r.problem != "" {
			p.Problems = append(p.Problems, name+": "+r.problem)
		}
	}
}

func step(action string, b *binding, entry string) Step {
	s := Step{Action: action, Kind: b.kind(), Namespace: b.namespace, Name: b.name, Entry: entry, Policy: b.labels[policy.Label]}
	if action != ActionDelete {
		s.Object = b.object()
	}
	return s
}

// PrintTable prints a line per step.
func (p *Plan) PrintTable(out io.Writer) error {
	if len(p.Steps) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACTION\tKIND\tNAMESPACE\tNAME\tENTRY\tPOLICY")
	for _, s := range p.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Action, s.Kind, s.Namespace, s.Name, s.Entry, s.Policy)
	}
	return w.Flush()
}

// PrintYAML prints the steps with the bindings as they should be.
func (p *Plan) PrintYAML(out io.Writer) error {
	data, err := yaml.Marshal(p.Steps)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}
