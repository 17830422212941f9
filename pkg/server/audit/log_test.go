package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// childFile names the file that this program, started again by a test, writes to until
// it is killed.
const childFile = "AUDIT_TEST_CHILD_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		writeUntilKilled(path)
	}
	os.Exit(m.Run())
}

func TestRecordIsOneLineOfJSON(t *testing.T) {
	for name, r := range map[string]Record{
		"whole":   example(),
		"empty":   {},
		"refusal": {Version: 1, ID: "x-1", Time: time.Unix(1, 5).UTC(), Outcome: "denied", Reason: reason.NotMapped, Remote: "[2001:db8::1]:443"},
		"escapes": {Username: "a\"b\\c\nd<e>\u2028é\x7f", Groups: []string{"", "g\t1"}, Entry: "mapRoles[0] (line 3)"},
	} {
		t.Run(name, func(t *testing.T) {
			line := r.appendTo(nil)
			if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
				t.Fatalf("not one line: %q", line)
			}
			want, err := json.Marshal(r)
			check(t, err)
			if got, want := fields(t, line), fields(t, want); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("line %v\nwant %v", got, want)
			}
		})
	}
	if line := string((&Record{Time: time.Date(2026, 11, 22, 16, 0, 0, 0, time.FixedZone("", 3600))}).appendTo(nil)); !strings.Contains(line, `"time":"2026-11-22T15:00:00.000000000Z"`) {
		t.Errorf("the time is not in UTC with nanoseconds: %s", line)
	}
}

// fields returns what a line says, with the time as one value in whatever precision.
func fields(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var all map[string]any
	check(t, json.Unmarshal(line, &all))
	at, err := time.Parse(time.RFC3339Nano, all["time"].(string))
	check(t, err)
	all["time"] = at.UnixNano()
	return all
}

func TestLogGivesRecordsVersionAndID(t *testing.T) {
	l, path := newLog(t, Options{})
	ids := map[string]bool{}
	for range 3 {
		check(t, l.Record(Record{Outcome: "granted"}))
	}
	check(t, l.Close())
	other, err := New(Options{Path: path})
	check(t, err)
	check(t, other.Record(Record{Outcome: "granted"}))
	for _, line := range lines(t, path) {
		all := map[string]any{}
		check(t, json.Unmarshal([]byte(line), &all))
		ids[all["id"].(string)] = true
		if all["v"] != float64(Version) {
			t.Errorf("version %v", all["v"])
		}
	}
	if len(ids) != 4 {
		t.Errorf("IDs %v, want 4 different ones", ids)
	}
}

func TestFileIsForItsOwnerOnly(t *testing.T) {
	_, path := newLog(t, Options{})
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestConcurrentRecordsAreWholeLines(t *testing.T) {
	for _, fsync := range []string{FsyncNone, FsyncInterval, FsyncAlways} {
		t.Run(fsync, func(t *testing.T) {
			l, path := newLog(t, Options{Fsync: fsync})
			const writers, each = 16, 200
			var group sync.WaitGroup
			for range writers {
				group.Go(func() {
					for range each {
						check(t, l.Record(example()))
					}
				})
			}
			group.Wait()
			check(t, l.Close())
			mustHave(t, writers*each, path)
			if s := l.Stats(); s.Records != writers*each || s.Errors != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestFullDiskIsLoudAndStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		l, err := New(Options{Path: "/dev/full", Log: zap.New(core)})
		check(t, err)
		for range 1000 {
			check(t, l.Record(example()))
		}
		if s := l.Stats(); s.Records != 0 || s.Errors != 1000 {
			t.Errorf("stats %+v", s)
		}
		if n := logs.FilterMessage("audit record could not be written").Len(); n != 1 {
			t.Errorf("%d lines in the log, want 1", n)
		}
		if err := l.Healthy(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("healthy: %v", err)
		}
		time.Sleep(complainPeriod)
		check(t, l.Record(example()))
		if n := logs.FilterMessage("audit record could not be written").Len(); n != 2 {
			t.Errorf("%d lines in the log, want another one after %s", n, complainPeriod)
		}
	})
}

func TestRequiredRecordThatCannotBeWrittenIsAnError(t *testing.T) {
	l, err := New(Options{Path: "/dev/full", Required: true})
	check(t, err)
	if err := l.Record(example()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
}

func TestFileThatCannotBeOpened(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "audit.log")
	if _, err := New(Options{Path: missing, Required: true}); err == nil {
		t.Error("required: no error at the start")
	}
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Options{Path: missing})
		check(t, err)
		run(t, l)
		check(t, l.Record(example()))
		if s := l.Stats(); s.Errors != 1 || l.Healthy() == nil {
			t.Errorf("stats %+v, healthy %v", s, l.Healthy())
		}
		check(t, os.Mkdir(filepath.Dir(missing), 0o700))
		time.Sleep(2 * checkPeriod)
		check(t, l.Record(example()))
		if l.Healthy() != nil {
			t.Errorf("afterwards: %v", l.Healthy())
		}
		mustHave(t, 1, missing)
	})
}

// failing is a writer that writes what it is told of a line, and then fails.
type failing struct {
	bytes.Buffer
	room int // -1 for any
}

func (f *failing) Write(p []byte) (int, error) {
	if f.room < 0 || len(p) <= f.room {
		return f.Buffer.Write(p)
	}
	n, _ := f.Buffer.Write(p[:f.room])
	f.room = 0
	return n, syscall.ENOSPC
}

func TestLineTornByAFullDiskIsEndedBeforeTheNext(t *testing.T) {
	for _, room := range []int{0, 1, 40, 10_000} {
		out := &failing{room: -1}
		l, err := New(Options{Path: Stdout, Out: out})
		check(t, err)
		check(t, l.Record(example()))
		out.room = room
		for range 20 {
			check(t, l.Record(example()))
		}
		out.room = -1
		check(t, l.Record(example()))
		var tally Tally
		check(t, Read(bytes.NewReader(out.Bytes()), &tally, func([]byte, *Record) error { return nil }))
		if uint64(tally.Records) != l.Stats().Records || tally.Unreadable+tally.Torn > 1 {
			t.Errorf("room %d: read %+v, wrote %+v", room, tally, l.Stats())
		}
		if l.Healthy() != nil {
			t.Errorf("room %d: %v", room, l.Healthy())
		}
	}
}

func TestLineTornByACrashIsEndedBeforeTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	check(t, os.WriteFile(path, []byte(`{"v":1,"outcome":"gran`), 0o600))
	l, err := New(Options{Path: path})
	check(t, err)
	check(t, l.Record(example()))
	check(t, l.Record(example()))
	if got := lines(t, path); len(got) != 3 || got[0] != `{"v":1,"outcome":"gran` {
		t.Errorf("lines %q", got)
	}
}

// hanging is a disk that hangs.
type hanging struct{ release chan struct{} }

func (h hanging) Write(p []byte) (int, error) { <-h.release; return len(p), nil }

func TestDiskThatHangsHoldsUpOnlyWhoWritesToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := hanging{make(chan struct{})}
		l, err := New(Options{Path: Stdout, Out: disk})
		check(t, err)
		done := make(chan error)
		go func() { done <- l.Record(example()) }()
		synctest.Wait()
		start := time.Now()
		check(t, l.Record(example()))
		if took := time.Since(start); took != maxTurn || l.Stats().Errors != 1 {
			t.Errorf("took %s, want %s; stats %+v", took, maxTurn, l.Stats())
		}
		close(disk.release)
		check(t, <-done)
		if l.Stats().Records != 1 {
			t.Errorf("stats %+v", l.Stats())
		}
	})
}

func TestRecordsAreForcedToTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLog(t, Options{Fsync: FsyncInterval, Interval: 3 * time.Second})
		run(t, l)
		check(t, l.Record(example()))
		synced := func() bool {
			l.file.syncing.Lock()
			defer l.file.syncing.Unlock()
			return l.file.synced == l.file.written.Load()
		}
		time.Sleep(2 * time.Second)
		if synced() {
			t.Error("before the interval ended")
		}
		time.Sleep(2 * time.Second)
		if !synced() {
			t.Error("not in the interval")
		}
	})
	l, _ := newLog(t, Options{Fsync: FsyncAlways})
	check(t, l.Record(example()))
	if l.file.synced != l.file.written.Load() {
		t.Error("always: not before the answer")
	}
}

func TestFailedSyncIsReportedToAllWhomItConcerns(t *testing.T) {
	f, err := open(filepath.Join(t.TempDir(), "a"), time.Now())
	check(t, err)
	end, err := f.append([]byte("\nline\n"))
	check(t, err)
	check(t, f.f.Close()) // so that syncs fail
	for range 2 {
		if f.sync(end) == nil {
			t.Error("no error")
		}
	}
}

func TestRecordsOutliveAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	written := 0
	for range 3 {
		self, err := os.Executable()
		check(t, err)
		child := exec.CommandContext(t.Context(), self)
		child.Env = append(os.Environ(), childFile+"="+path)
		out, err := child.StdoutPipe()
		check(t, err)
		check(t, child.Start())
		acknowledged := bufio.NewReader(out)
		for range 500 {
			_, err := acknowledged.ReadString('\n')
			check(t, err)
		}
		check(t, child.Process.Kill())
		rest, _ := io.ReadAll(acknowledged)
		_ = child.Wait()
		written += 500 + bytes.Count(rest, []byte("\n"))
	}
	// Each run may have written a record that it could not acknowledge any more per
	// goroutine, and each but none more may have torn a line.
	var tally Tally
	data, err := os.ReadFile(path)
	check(t, err)
	check(t, Read(bytes.NewReader(data), &tally, func([]byte, *Record) error { return nil }))
	if tally.Records < int64(written) || tally.Unreadable+tally.Torn > 3 {
		t.Errorf("%d records were acknowledged, read %+v", written, tally)
	}
}

func writeUntilKilled(path string) {
	l, err := New(Options{Path: path, MaxSize: 1 << 40})
	if err != nil {
		panic(err)
	}
	for range 4 {
		go func() {
			for {
				if err := l.Record(example()); err != nil || l.Stats().Errors > 0 {
					panic("not written")
				}
				fmt.Println("written")
			}
		}()
	}
	select {}
}

func example() Record {
	return Record{
		Time: time.Date(2026, 11, 22, 16, 40, 31, 123456789, time.UTC), Outcome: "granted", Reason: reason.Granted,
		Principal: "arn:aws:iam::111122223333:role/admins", ARN: "arn:aws:sts::111122223333:assumed-role/admins/bob@example.com",
		Account: "111122223333", SessionName: "bob@example.com", PrincipalID: "AROAEXAMPLEEXAMPLE000", AccessKeyID: "ASIAEXAMPLEEXAMPLE00",
		Mapper: "MountedFile", Entry: "mapRoles[0] (line 3)", Username: "admin:bob-example.com", Groups: []string{"admins", "111122223333"},
		Source: "sts", STSRegion: "us-east-1", STSRequestID: "6f1f6f1e-6c3b-4c55-9c0f-2f1d5d1f7a01",
		LatencyMicros: 21, TokenHash: HashToken("k8s-aws-v1.x"), Remote: "192.0.2.1:40000",
	}
}

func newLog(t testing.TB, o Options) (*Log, string) {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "audit.log")
	l, err := New(o)
	check(t, err)
	return l, o.Path
}

// run runs a log until stop is called, or the end of the test.
func run(t *testing.T, l *Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		check(t, <-done)
		check(t, l.Close())
	})
	t.Cleanup(stop)
	return stop
}

// mustHave checks that files, and those that were put aside from them, have so many
// records in all, and nothing else. It returns their paths.
func mustHave(t testing.TB, want int64, paths ...string) []string {
	t.Helper()
	files, err := Open(paths)
	check(t, err)
	defer Close(files)
	var tally Tally
	var read []string
	ids := map[string]bool{}
	for _, file := range files {
		read = append(read, file.Path)
		check(t, Read(file, &tally, func(_ []byte, r *Record) error { ids[r.ID] = true; return nil }))
	}
	if tally != (Tally{Records: want}) || int64(len(ids)) != want {
		t.Errorf("read %+v of %d IDs, want %d records; in %v", tally, len(ids), want, read)
	}
	return read
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
