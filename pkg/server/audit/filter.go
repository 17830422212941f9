package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Filter chooses records. Its zero value chooses all. Texts are patterns, in which * is
// any number of characters and ? is one; letter case doesn't count.
type Filter struct {
	Since, Until time.Time // from Since on, and before Until; zero is no bound
	Principal    string    // the canonical ARN, or the ARN that STS gave
	User         string    // the Kubernetes username
	Entry        string    // the mapper, the entry, or both: "EKSConfigMap mapRoles[0]*"
	Reasons      []reason.Code
	Outcomes     []string
}

// Match tells whether the filter chooses a record.
func (f *Filter) Match(r *Record) bool {
	switch {
	case !f.Since.IsZero() && r.Time.Before(f.Since), !f.Until.IsZero() && !r.Time.Before(f.Until):
		return false
	case len(f.Reasons) > 0 && !slices.Contains(f.Reasons, r.Reason), len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, r.Outcome):
		return false
	case f.Principal != "" && !like(f.Principal, r.Principal) && !like(f.Principal, r.ARN):
		return false
	case f.User != "" && !like(f.User, r.Username):
		return false
	case f.Entry != "" && !like(f.Entry, r.Entry) && !like(f.Entry, r.Mapper) && !like(f.Entry, r.Mapper+" "+r.Entry):
		return false
	}
	return true
}

// Outcomes are the words that a record's outcome can be.
func Outcomes() []string {
	var outcomes []string
	for _, code := range reason.Codes() {
		if o := code.Outcome().String(); !slices.Contains(outcomes, o) {
			outcomes = append(outcomes, o)
		}
	}
	return outcomes
}

// SetReasons sets the reasons by name.
func (f *Filter) SetReasons(names []string) error {
	var known []string
	for _, code := range reason.Codes() {
		known = append(known, string(code))
	}
	for _, name := range names {
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		if i < 0 {
			return fmt.Errorf("unknown reason %q%s", name, suggest.Known(name, known))
		}
		f.Reasons = append(f.Reasons, reason.Code(known[i]))
	}
	return nil
}

// SetOutcomes sets the outcomes by name.
func (f *Filter) SetOutcomes(names []string) error {
	for _, name := range names {
		if !slices.Contains(Outcomes(), name) {
			return fmt.Errorf("unknown outcome %q%s", name, suggest.Known(name, Outcomes()))
		}
	}
	f.Outcomes = names
	return nil
}

// ParseTime reads an age before now, a date, or a time of RFC 3339.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q, want an age such as 24h or 7d, a date such as 2026-11-22, or a time such as 2026-11-22T16:00:00Z", text)
}

// like tells whether text has the form of pattern. It takes time proportional to the
// product of their lengths at most.
func like(pattern, text string) bool {
	pattern, text = strings.ToLower(pattern), strings.ToLower(text)
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0: // let the last * have one more
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
