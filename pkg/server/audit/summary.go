package audit

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// maxRows is how many rows a part of a Summary has. Records that would make further ones
// are counted in a row of their own, so that memory is bounded whatever is read.
const maxRows = 100_000

// Summary sums up who logged in as what, and who was refused and why.
type Summary struct {
	Records  int64
	logins   rows[login]
	refusals rows[refusal]
}

type login struct{ principal, username, mapper, entry string }

type refusal struct {
	reason    reason.Code
	principal string
}

// NewSummary returns an empty summary.
func NewSummary() *Summary {
	return &Summary{
		logins:   rows[login]{byKey: map[login]*use{}, others: login{principal: "(others)"}},
		refusals: rows[refusal]{byKey: map[refusal]*use{}, others: refusal{reason: "(others)"}},
	}
}

// Add adds a record.
func (s *Summary) Add(r *Record) {
	s.Records++
	if r.Outcome == reason.Accepted.String() {
		s.logins.add(login{r.Principal, r.Username, r.Mapper, r.Entry}, r.Time)
	} else {
		s.refusals.add(refusal{r.Reason, r.Principal}, r.Time)
	}
}

// Print writes the summary as tables.
func (s *Summary) Print(w io.Writer) error {
	if s.Records == 0 {
		_, err := fmt.Fprintln(w, "No records.")
		return err
	}
	if len(s.logins.byKey) > 0 {
		table := newTable(w, "PRINCIPAL", "USERNAME", "SOURCE", "ENTRY", "COUNT", "FIRST", "LAST")
		for _, key := range s.logins.sorted(func(a, b login) int {
			return cmp.Or(cmp.Compare(a.principal, b.principal), cmp.Compare(a.username, b.username), cmp.Compare(a.mapper, b.mapper), cmp.Compare(a.entry, b.entry))
		}) {
			u := s.logins.byKey[key]
			table.row(key.principal, key.username, key.mapper, key.entry, strconv.FormatInt(u.count, 10), day(u.first), day(u.last))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(s.refusals.byKey) == 0 {
		return nil
	}
	if len(s.logins.byKey) > 0 {
		fmt.Fprintln(w)
	}
	table := newTable(w, "REFUSED FOR", "PRINCIPAL", "COUNT", "FIRST", "LAST")
	for _, key := range s.refusals.sorted(func(a, b refusal) int {
		return cmp.Or(cmp.Compare(s.refusals.byKey[b].count, s.refusals.byKey[a].count), cmp.Compare(a.reason, b.reason), cmp.Compare(a.principal, b.principal))
	}) {
		u := s.refusals.byKey[key]
		table.row(string(key.reason), key.principal, strconv.FormatInt(u.count, 10), day(u.first), day(u.last))
	}
	return table.Flush()
}

// use is how often something was used, and when.
type use struct {
	count       int64
	first, last time.Time
}

func (u *use) add(at time.Time) {
	u.count++
	if u.first.IsZero() || at.Before(u.first) {
		u.first = at
	}
	if at.After(u.last) {
		u.last = at
	}
}

// rows counts uses by key, for a bounded number of keys.
type rows[K comparable] struct {
	byKey  map[K]*use
	others K
}

func (r *rows[K]) add(key K, at time.Time) {
	u := r.byKey[key]
	if u == nil {
		if len(r.byKey) >= maxRows {
			key = r.others
			u = r.byKey[key]
		}
		if u == nil {
			u = new(use)
			r.byKey[key] = u
		}
	}
	u.add(at)
}

func (r *rows[K]) sorted(compare func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(r.byKey), compare)
}

// table prints rows in columns.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
	t.row(columns...)
	return t
}

// row prints cells. Those that are empty show as "-", and what would steer a terminal is
// escaped: a file of records may be somebody else's.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		if strings.ContainsFunc(cell, func(c rune) bool { return !strconv.IsPrint(c) }) {
			cell = strconv.Quote(cell)
		}
		if i > 0 {
			_, _ = io.WriteString(t, "\t")
		}
		_, _ = io.WriteString(t, cell)
	}
	_, _ = io.WriteString(t, "\n")
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// Table prints records, a line each.
type Table struct {
	table   table
	pending int
}

// tableBatch is how many lines are aligned with each other. Memory is bounded by it.
const tableBatch = 1000

// NewTable returns a Table that writes to w.
func NewTable(w io.Writer) *Table {
	return &Table{table: newTable(w, recordColumns...)}
}

var recordColumns = []string{"TIME", "OUTCOME", "REASON", "PRINCIPAL", "SESSION", "USERNAME", "SOURCE", "ENTRY"}

// Add prints a record.
func (t *Table) Add(r *Record) error {
	t.table.row(r.Time.UTC().Format("2006-01-02 15:04:05"), r.Outcome, string(r.Reason), r.Principal, r.SessionName, r.Username, r.Mapper, r.Entry)
	if t.pending++; t.pending < tableBatch {
		return nil
	}
	t.pending = 0
	return t.table.Flush()
}

// Flush prints what is left.
func (t *Table) Flush() error { return t.table.Flush() }
