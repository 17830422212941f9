package admission

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/internal/lint"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// object is the part of a Kubernetes object that matters here.
type object struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Data awsauth.Document `json:"data"`
}

func (o object) allowsLoss() bool { return o.Metadata.Annotations[AllowLoss] == "true" }

// checkAWSAuth refuses what makes aws-auth worse: new mistakes, and the loss of the last
// administrator or node mapping.
func checkAWSAuth(r request, o lint.Options) (v verdict) {
	after, before, ok := objects(r)
	// A request to delete all objects of a namespace names none of them.
	name := cmp.Or(r.Name, after.Metadata.Name, before.Metadata.Name)
	if r.Namespace != configmap.Namespace || name != configmap.Name {
		return verdict{} // of no concern, however the webhook is configured
	}
	if !ok {
		return unreadable()
	}
	switch {
	case crowded(after) || crowded(before):
		v.warn("aws-auth is too large to be checked for mistakes in time; see 'authenticator lint --live'")
	case r.Operation != "DELETE":
		v = compare(r, o)
	}
	allowed := after.allowsLoss()
	if r.Operation == "DELETE" {
		allowed = before.allowsLoss() // the annotation that is there, as there is no other
	}
	losses := awsauth.Losses(before.Data, after.Data, awsauth.LossOptions{Partition: o.Partition, ReservedPrefixes: o.ReservedPrefixes})
	for _, loss := range losses {
		if allowed {
			v.warn("this takes away " + loss)
		} else {
			v.errors = append(v.errors, fmt.Sprintf("this takes away %s; if that is meant, annotate it %s=true first", loss, AllowLoss))
		}
	}
	// It stays until somebody takes it away, and lets whoever comes next lose as much.
	if after.allowsLoss() {
		v.warn("the annotation " + AllowLoss + " allows every loss until it is removed: kubectl -n " + configmap.Namespace + " annotate configmap " + configmap.Name + " " + AllowLoss + "-")
	}
	return v
}

// warn adds a warning that goes before those of the linter, of which there may be many.
func (v *verdict) warn(text string) { v.warnings = slices.Insert(v.warnings, 0, text) }

// checkAccessEntry refuses an access entry with mistakes that it didn't have.
func checkAccessEntry(r request, o lint.Options) verdict {
	if r.Operation == "DELETE" {
		return verdict{}
	}
	return compare(r, o)
}

// compare has the linter look at an object before and after. Mistakes that were there
// before don't keep anybody from mending others.
func compare(r request, o lint.Options) (v verdict) {
	o.MaxFindings = math.MaxInt // what is not compared would hide mistakes, or refuse to mend them
	after, afterOK := decode(r.Object)
	before, beforeOK := decode(r.OldObject)
	if !afterOK || !beforeOK {
		return unreadable()
	}
	old := map[mistake]int{}
	if before != nil {
		for _, f := range lint.CheckObject("object", before, o) {
			old[mistakeOf(f)]++
		}
	}
	for _, f := range lint.CheckObject("object", after, o) {
		switch said, m := text(f), mistakeOf(f); {
		case f.Severity != lint.Error:
			if f.Severity == lint.Warning {
				v.warnings = append(v.warnings, said)
			}
		case old[m] > 0:
			old[m]--
			v.warnings = append(v.warnings, "still wrong: "+said)
		default:
			v.errors = append(v.errors, said)
		}
	}
	return v
}

// decode returns an object as the linter wants it, nil if there is none.
func decode(data json.RawMessage) (object map[string]any, ok bool) {
	if !present(data) {
		return nil, true
	}
	err := json.Unmarshal(data, &object)
	return object, err == nil
}

// mistake is an error without its place, which moves with what is added and removed
// before it.
type mistake struct{ rule, section, principal, message string }

func mistakeOf(f lint.Finding) mistake {
	section, _, _ := strings.Cut(f.Entry, "[")
	return mistake{f.Rule, section, f.Principal, f.Message}
}

// text is a finding without its place: an object in a request has no lines.
func text(f lint.Finding) string {
	said := f.Message
	if f.Suggestion != "" {
		said += " (" + f.Suggestion + ")"
	}
	switch {
	case f.Entry != "" && f.Principal != "":
		said = f.Entry + " " + f.Principal + ": " + said
	case f.Entry != "":
		said = f.Entry + ": " + said
	}
	return said + " [" + f.Rule + "]"
}

func objects(r request) (after, before object, ok bool) {
	for _, o := range []struct {
		data json.RawMessage
		into *object
	}{{r.Object, &after}, {r.OldObject, &before}} {
		if present(o.data) && json.Unmarshal(o.data, o.into) != nil {
			return object{}, object{}, false
		}
	}
	return after, before, true
}

// maxItems bounds what may be items in aws-auth. Each may be a mistake, and a mistake
// takes far more memory than the few bytes that it is made of.
const maxItems = 40_000

func crowded(o object) bool {
	items := 0
	for _, text := range o.Data {
		items += strings.Count(text, ",") + strings.Count(text, "\n")
	}
	return items > maxItems
}

func present(data json.RawMessage) bool { return len(data) > 0 && !bytes.Equal(data, []byte("null")) }

func unreadable() verdict {
	return verdict{warnings: []string{"authenticator could not read this object, and did not check it"}}
}
