package audit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// at returns an example's line with another time, and ID.
func at(day int) string {
	r := example()
	r.Version, r.ID = Version, fmt.Sprint(day)
	r.Time = time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)
	return string(r.appendTo(nil))
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	packer := gzip.NewWriter(&out)
	_, err := packer.Write([]byte(text))
	check(t, err)
	check(t, packer.Close())
	return out.String()
}

func TestReadPassesOverWhatIsNoRecord(t *testing.T) {
	whole := zipped(t, at(1)+at(2))
	for name, c := range map[string]struct {
		text string
		want Tally
	}{
		"empty":                    {"", Tally{}},
		"records":                  {at(1) + at(2), Tally{Records: 2}},
		"nothing but torn":         {at(1)[:50], Tally{Torn: 1}},
		"torn at the end":          {at(1) + at(2)[:50], Tally{Records: 1, Torn: 1}},
		"torn in the middle":       {at(1)[:50] + "\n" + at(2), Tally{Records: 1, Unreadable: 1}},
		"no newline at the end":    {strings.TrimSuffix(at(1), "\n"), Tally{Records: 1}},
		"blank lines":              {"\n\n" + at(1) + "\r\n\n", Tally{Records: 1}},
		"unknown field":            {strings.Replace(at(1), "{", `{"new":{"a":[1]},`, 1), Tally{Records: 1}},
		"later version":            {strings.Replace(at(1), `"v":1`, `"v":2`, 1), Tally{Records: 1}},
		"other JSON":               {`{"level":"info","time":"2026-11-22T00:00:00Z"}` + "\n[1]\nnull\n" + at(1), Tally{Records: 1, Unreadable: 3}},
		"zeros after a crash":      {strings.Repeat("\x00", 5000) + "\n" + at(1), Tally{Records: 1, Unreadable: 1}},
		"line longer than buffers": {strings.Replace(at(1), `"groups":[`, `"groups":["`+strings.Repeat("g", 100<<10)+`",`, 1) + at(2), Tally{Records: 2}},
		"line that is too long":    {strings.Repeat("x", 3*maxLine) + "\n" + at(1), Tally{Records: 1, Unreadable: 1}},
		"endless line":             {at(1) + strings.Repeat("x", 3*maxLine), Tally{Records: 1, Torn: 1}},
		"compressed":               {whole, Tally{Records: 2}},
		"compressed in pieces":     {whole + whole, Tally{Records: 4}},
		"compressed, no end":       {zipped(t, strings.Repeat(at(1), 1000))[:300], Tally{Damaged: 1}},
		"compressed, wrong sum":    {whole[:len(whole)-8] + "xxxx" + whole[len(whole)-4:], Tally{Records: 2, Damaged: 1}},
		"compressed, no header":    {whole[:5], Tally{Damaged: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got Tally
			check(t, Read(strings.NewReader(c.text), &got, func(line []byte, _ *Record) error {
				if line[0] != '{' || line[len(line)-1] != '}' {
					t.Errorf("line %q", line)
				}
				return nil
			}))
			if name == "compressed, no end" {
				got.Records, got.Torn = 0, 0 // as many as could be unpacked
			}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReadEndsWithTheErrorOfItsCaller(t *testing.T) {
	failure := errors.New("failure")
	calls := 0
	err := Read(strings.NewReader(at(1)+at(2)), &Tally{}, func([]byte, *Record) error { calls++; return failure })
	if !errors.Is(err, failure) || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

func TestFilesAreInOrderOfTime(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"audit.log":    at(9),
		"audit.log.1":  at(8),
		"audit.log.10": at(5),
		"audit.log.20261107T000000.000000000Z.gz": zipped(t, at(7)),
		"audit.log-20261106.gz":                   zipped(t, at(6)),
		"audit.log.bak":                           at(1),
		"audit.log.1.gz.part":                     at(1),
		"audit.logs":                              at(1),
		"other.log":                               at(2),
		"empty.log":                               "",
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, c := range []struct{ paths, want []string }{
		{[]string{"audit.log"}, []string{"audit.log.10", "audit.log-20261106.gz", "audit.log.20261107T000000.000000000Z.gz", "audit.log.1", "audit.log"}},
		{[]string{"audit.log", "audit.log.1", "other.log"}, []string{"other.log", "audit.log.10", "audit.log-20261106.gz", "audit.log.20261107T000000.000000000Z.gz", "audit.log.1", "audit.log"}},
		{[]string{"empty.log"}, []string{"empty.log"}},
	} {
		for i := range c.paths {
			c.paths[i] = filepath.Join(dir, c.paths[i])
		}
		files, err := Open(c.paths)
		check(t, err)
		var got []string
		for _, file := range files {
			got = append(got, filepath.Base(file.Path))
		}
		Close(files)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.paths, got, c.want)
		}
	}
	if _, err := Open([]string{filepath.Join(dir, "none.log")}); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
}

func TestFilter(t *testing.T) {
	r := example()
	noon := r.Time
	for _, c := range []struct {
		name   string
		filter Filter
		want   bool
	}{
		{"nothing", Filter{}, true},
		{"since then", Filter{Since: noon}, true},
		{"since later", Filter{Since: noon.Add(1)}, false},
		{"until then", Filter{Until: noon}, false},
		{"until later", Filter{Until: noon.Add(1)}, true},
		{"principal", Filter{Principal: "arn:aws:iam::111122223333:role/admins"}, true},
		{"principal, letter case", Filter{Principal: "arn:aws:iam::111122223333:role/ADMINS"}, true},
		{"principal's session", Filter{Principal: "arn:aws:sts::*:assumed-role/admins/bob@*"}, true},
		{"pattern crosses slashes and colons", Filter{Principal: "arn:*admins"}, true},
		{"part of a principal", Filter{Principal: "admins"}, false},
		{"one character", Filter{Principal: "arn:aws:iam::11112222333?:role/admin?"}, true},
		{"one character too many", Filter{Principal: "arn:aws:iam::111122223333:role/admins?"}, false},
		{"user", Filter{User: "admin:*"}, true},
		{"other user", Filter{User: "dev:*"}, false},
		{"mapper", Filter{Entry: "MountedFile"}, true},
		{"entry, brackets as they are", Filter{Entry: "mapRoles[0]*"}, true},
		{"mapper and entry", Filter{Entry: "MountedFile mapRoles*"}, true},
		{"other entry", Filter{Entry: "mapRoles[1]*"}, false},
		{"reason", Filter{Reasons: []reason.Code{reason.NotMapped, reason.Granted}}, true},
		{"other reason", Filter{Reasons: []reason.Code{reason.NotMapped}}, false},
		{"outcome", Filter{Outcomes: []string{"granted"}}, true},
		{"other outcome", Filter{Outcomes: []string{"denied"}}, false},
		{"one of two fails", Filter{User: "admin:*", Outcomes: []string{"denied"}}, false},
	} {
		if got := c.filter.Match(&r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestLikeTakesNoExponentialTime(t *testing.T) {
	// It would not end within the time of the test.
	if like(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 5000)) {
		t.Error("matches")
	}
}

func TestFilterNamesWhatWasMeant(t *testing.T) {
	var f Filter
	if err := f.SetReasons([]string{"notmapped", "STSThrottled"}); err != nil || !slices.Equal(f.Reasons, []reason.Code{reason.NotMapped, reason.STSThrottled}) {
		t.Errorf("%v, %v", f.Reasons, err)
	}
	if err := f.SetReasons([]string{"NotMaped"}); err == nil || !strings.Contains(err.Error(), `did you mean "NotMapped"?`) {
		t.Errorf("error %v", err)
	}
	if err := f.SetOutcomes([]string{"granted", "denid"}); err == nil || !strings.Contains(err.Error(), `did you mean "denied"?`) {
		t.Errorf("error %v", err)
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"24h":                       now.Add(-24 * time.Hour),
		"7d":                        now.AddDate(0, 0, -7),
		"2026-11-01":                time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-01T10:00:00+01:00": time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC),
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "-1d", "d", "24", "2026-13-01"} {
		if got, err := ParseTime(text, now); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestSummary(t *testing.T) {
	s := NewSummary()
	add := func(change func(*Record), days ...int) {
		for _, day := range days {
			r := example()
			r.Time = time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)
			change(&r)
			s.Add(&r)
		}
	}
	add(func(*Record) {}, 3, 1, 2)
	add(func(r *Record) { r.Username = "admin:eve\x1b[2J" }, 4)
	denied := func(r *Record) { r.Outcome, r.Reason, r.Username = "denied", reason.PrincipalIDMismatch, "" }
	add(denied, 5, 6)
	add(func(r *Record) { *r = Record{Time: r.Time, Outcome: "rejected", Reason: reason.MalformedToken} }, 7)
	var out strings.Builder
	check(t, s.Print(&out))
	want := `PRINCIPAL                               USERNAME                SOURCE        ENTRY                  COUNT   FIRST                 LAST
arn:aws:iam::111122223333:role/admins   admin:bob-example.com   MountedFile   mapRoles[0] (line 3)   3       2026-11-01 12:00:00   2026-11-03 12:00:00
arn:aws:iam::111122223333:role/admins   "admin:eve\x1b[2J"      MountedFile   mapRoles[0] (line 3)   1       2026-11-04 12:00:00   2026-11-04 12:00:00

REFUSED FOR           PRINCIPAL                               SOURCE        ENTRY                  COUNT   FIRST                 LAST
PrincipalIDMismatch   arn:aws:iam::111122223333:role/admins   MountedFile   mapRoles[0] (line 3)   2       2026-11-05 12:00:00   2026-11-06 12:00:00
MalformedToken        -                                       -             -                      1       2026-11-07 12:00:00   2026-11-07 12:00:00
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	check(t, NewSummary().Print(&out))
	if out.String() != "No records.\n" {
		t.Errorf("%q", out.String())
	}
}

func TestSummaryAsJSON(t *testing.T) {
	s := NewSummary()
	for day := 1; day <= 3; day++ {
		r := example()
		r.Time = time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)
		if day == 3 {
			r.Outcome, r.Reason, r.Username, r.Mapper, r.Entry = "denied", reason.NotMapped, "", "", ""
		}
		s.Add(&r)
	}
	var out strings.Builder
	check(t, s.WriteJSON(&out))
	want := `{
  "records": 3,
  "logins": [
    {
      "principal": "arn:aws:iam::111122223333:role/admins",
      "username": "admin:bob-example.com",
      "mapper": "MountedFile",
      "entry": "mapRoles[0] (line 3)",
      "count": 2,
      "first": "2026-11-01T12:00:00Z",
      "last": "2026-11-02T12:00:00Z"
    }
  ],
  "refusals": [
    {
      "reason": "NotMapped",
      "principal": "arn:aws:iam::111122223333:role/admins",
      "count": 1,
      "first": "2026-11-03T12:00:00Z",
      "last": "2026-11-03T12:00:00Z"
    }
  ]
}
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestEveryKeyOfASummaryIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "audit.md"))
	check(t, err)
	s := NewSummary()
	r := example()
	s.Add(&r)
	r.Outcome = "denied"
	s.Add(&r)
	s.logins.others.Count, s.refusals.others.Count = 1, 1
	var out bytes.Buffer
	check(t, s.WriteJSON(&out))
	keys := regexp.MustCompile(`(?m)^ +("\w+"):`).FindAllStringSubmatch(out.String(), -1)
	if len(keys) < 20 {
		t.Fatalf("keys %v", keys)
	}
	for _, key := range keys {
		if !bytes.Contains(doc, []byte("`"+strings.Trim(key[1], `"`)+"`")) {
			t.Errorf("docs/audit.md doesn't explain %s", key[1])
		}
	}
}

func TestSummaryIsBoundedInBytes(t *testing.T) {
	const room, n = 1 << 20, 20
	for outcome, part := range map[string]func(*Summary) (room *int, rows int, others int64){
		"granted": func(s *Summary) (*int, int, int64) {
			return &s.logins.room, len(s.logins.byKey), s.logins.others.Count
		},
		"denied": func(s *Summary) (*int, int, int64) {
			return &s.refusals.room, len(s.refusals.byKey), s.refusals.others.Count
		},
	} {
		s := NewSummary()
		left, _, _ := part(s)
		if *left != maxSummary {
			t.Errorf("%s: room for %d bytes, want %d", outcome, *left, maxSummary)
		}
		*left = room
		r := example()
		r.Outcome, r.Reason = outcome, reason.NotMapped
		text := strings.Repeat("x", 100<<10)
		for range 2 {
			for i := range n {
				r.Principal = fmt.Sprint(text, i)
				s.Add(&r)
			}
		}
		_, rows, others := part(s)
		if rows != 10 || others != 2*(n-10) || *left < 0 {
			t.Errorf("%s: %d rows and %d others, %d bytes left", outcome, rows, others, *left)
		}
		var table, object strings.Builder
		check(t, s.Print(&table))
		check(t, s.WriteJSON(&object))
		if !strings.Contains(table.String(), othersCell) || !strings.Contains(object.String(), `"other`) {
			t.Errorf("%s: the others are not shown", outcome)
		}
		if table.Len() > room/10 {
			t.Errorf("%s: a table of %d bytes: its cells are not cut", outcome, table.Len())
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(at(1) + "torn\n" + at(2)))
	f.Add([]byte(zipped(f, at(1))))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, data []byte) {
		var tally Tally
		check(t, Read(bytes.NewReader(data), &tally, func([]byte, *Record) error { return nil }))
	})
}
