package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// maxSummary bounds what each part of a Summary keeps, in bytes, whatever is read:
// records that would make further rows are counted together.
const maxSummary = 64 << 20

// rowSize is what a row takes besides its texts, in bytes.
const rowSize = 256

// Summary sums up who logged in as what, and who was refused and why.
type Summary struct {
	Records  int64
	logins   rows[login]
	refusals rows[refusal]
}

type login struct {
	Principal string `json:"principal"`
	Username  string `json:"username"`
	Mapper    string `json:"mapper"`
	Entry     string `json:"entry"`
}

func (l login) size() int { return len(l.Principal) + len(l.Username) + len(l.Mapper) + len(l.Entry) }

type refusal struct {
	Reason    reason.Code `json:"reason"`
	Principal string      `json:"principal,omitempty"`
	Mapper    string      `json:"mapper,omitempty"` // and the entry, if one refused
	Entry     string      `json:"entry,omitempty"`
}

func (r refusal) size() int { return len(r.Reason) + len(r.Principal) + len(r.Mapper) + len(r.Entry) }

// NewSummary returns an empty summary.
func NewSummary() *Summary {
	return &Summary{
		logins:   rows[login]{byKey: map[login]*use{}, room: maxSummary},
		refusals: rows[refusal]{byKey: map[refusal]*use{}, room: maxSummary},
	}
}

// Add adds a record.
func (s *Summary) Add(r *Record) {
	s.Records++
	if r.Outcome == reason.Accepted.String() {
		s.logins.add(login{r.Principal, r.Username, r.Mapper, r.Entry}, r.Time)
	} else {
		s.refusals.add(refusal{r.Reason, r.Principal, r.Mapper, r.Entry}, r.Time)
	}
}

// sortedLogins returns the logins by principal, and by what it logged in as.
func (s *Summary) sortedLogins() []row[login] {
	return s.logins.sorted(func(a, b row[login]) int {
		return cmp.Or(cmp.Compare(a.Key.Principal, b.Key.Principal), cmp.Compare(a.Key.Username, b.Key.Username),
			cmp.Compare(a.Key.Mapper, b.Key.Mapper), cmp.Compare(a.Key.Entry, b.Key.Entry))
	})
}

// sortedRefusals returns the refusals, the most frequent first.
func (s *Summary) sortedRefusals() []row[refusal] {
	return s.refusals.sorted(func(a, b row[refusal]) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key.Reason, b.Key.Reason), cmp.Compare(a.Key.Principal, b.Key.Principal),
			cmp.Compare(a.Key.Mapper, b.Key.Mapper), cmp.Compare(a.Key.Entry, b.Key.Entry))
	})
}

// Print writes the summary as tables.
func (s *Summary) Print(w io.Writer) error {
	if s.Records == 0 {
		_, err := fmt.Fprintln(w, "No records.")
		return err
	}
	logins, refusals := s.sortedLogins(), s.sortedRefusals()
	if len(logins) > 0 {
		table := newTable(w, "PRINCIPAL", "USERNAME", "SOURCE", "ENTRY", "COUNT", "FIRST", "LAST")
		for _, r := range logins {
			table.row(append([]string{r.Key.Principal, r.Key.Username, r.Key.Mapper, r.Key.Entry}, r.cells()...)...)
		}
		if others := s.logins.others; others.Count > 0 {
			table.row(append([]string{othersCell, "", "", ""}, others.cells()...)...)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(refusals) == 0 {
		return nil
	}
	if len(logins) > 0 {
		fmt.Fprintln(w)
	}
	table := newTable(w, "REFUSED FOR", "PRINCIPAL", "SOURCE", "ENTRY", "COUNT", "FIRST", "LAST")
	for _, r := range refusals {
		table.row(append([]string{string(r.Key.Reason), r.Key.Principal, r.Key.Mapper, r.Key.Entry}, r.cells()...)...)
	}
	if others := s.refusals.others; others.Count > 0 {
		table.row(append([]string{othersCell, "", "", ""}, others.cells()...)...)
	}
	return table.Flush()
}

// othersCell stands in the row of all that has none of its own.
const othersCell = "(others)"

// WriteJSON writes the summary as one object, with the keys of docs/audit.md.
func (s *Summary) WriteJSON(w io.Writer) error {
	type loginRow struct {
		login
		use
	}
	type refusalRow struct {
		refusal
		use
	}
	out := struct {
		Records       int64        `json:"records"`
		Logins        []loginRow   `json:"logins"`
		OtherLogins   *use         `json:"otherLogins,omitempty"`
		Refusals      []refusalRow `json:"refusals"`
		OtherRefusals *use         `json:"otherRefusals,omitempty"`
	}{Records: s.Records, Logins: []loginRow{}, Refusals: []refusalRow{}}
	for _, r := range s.sortedLogins() {
		out.Logins = append(out.Logins, loginRow{r.Key, *r.use})
	}
	for _, r := range s.sortedRefusals() {
		out.Refusals = append(out.Refusals, refusalRow{r.Key, *r.use})
	}
	if s.logins.others.Count > 0 {
		out.OtherLogins = &s.logins.others
	}
	if s.refusals.others.Count > 0 {
		out.OtherRefusals = &s.refusals.others
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

// use is how often something was used, and when.
type use struct {
	Count int64     `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

func (u *use) add(at time.Time) {
	u.Count++
	if u.First.IsZero() || at.Before(u.First) {
		u.First = at
	}
	if at.After(u.Last) {
		u.Last = at
	}
}

func (u *use) cells() []string {
	return []string{strconv.FormatInt(u.Count, 10), second(u.First), second(u.Last)}
}

// rows counts uses by key, for keys of a bounded size in all.
type rows[K interface {
	comparable
	size() int
}] struct {
	byKey  map[K]*use
	room   int // that is left for keys, in bytes
	others use // of keys that found none
}

func (r *rows[K]) add(key K, at time.Time) {
	u := r.byKey[key]
	if u == nil {
		size := rowSize + key.size()
		if size > r.room {
			r.others.add(at)
			return
		}
		u = new(use)
		r.byKey[key] = u
		r.room -= size
	}
	u.add(at)
}

type row[K any] struct {
	Key K
	*use
}

func (r *rows[K]) sorted(compare func(a, b row[K]) int) []row[K] {
	sorted := make([]row[K], 0, len(r.byKey))
	for key, u := range r.byKey {
		sorted = append(sorted, row[K]{Key: key, use: u})
	}
	slices.SortFunc(sorted, compare)
	return sorted
}

// table prints rows in columns.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
	t.row(columns...)
	return t
}

// maxCell is the length of the longest cell, in characters. Every row of a table is as
// wide as the widest.
const maxCell = 300

// row prints cells. Those that are empty show as "-", those that are too long are cut,
// and what would steer a terminal is escaped: a file of records may be somebody else's.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		if len(cell) > maxCell {
			if characters := []rune(cell); len(characters) > maxCell {
				cell = string(characters[:maxCell]) + "…"
			}
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

// second returns a time to the second.
func second(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

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
	t.table.row(second(r.Time), r.Outcome, string(r.Reason), r.Principal, r.SessionName, r.Username, r.Mapper, r.Entry)
	if t.pending++; t.pending < tableBatch {
		return nil
	}
	t.pending = 0
	return t.table.Flush()
}

// Flush prints what is left.
func (t *Table) Flush() error { return t.table.Flush() }
