package audit

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// token has the length of one that a session signed.
var token = "k8s-aws-v1." + strings.Repeat("x", 1600)

// BenchmarkRecord is what a login costs more if it is recorded.
func BenchmarkRecord(b *testing.B) {
	for _, fsync := range []string{FsyncNone, FsyncInterval} {
		b.Run("fsync-"+fsync, func(b *testing.B) {
			l, _ := newLog(b, Options{Fsync: fsync, MaxSize: 1 << 40})
			benchmarkRecord(b, l)
		})
	}
	b.Run("stdout", func(b *testing.B) {
		l, err := New(Options{Path: Stdout, Out: io.Discard})
		check(b, err)
		benchmarkRecord(b, l)
	})
	b.Run("pseudonyms", func(b *testing.B) {
		p := newPseudonyms(b, filepath.Join(b.TempDir(), "key"), strings.Repeat("k", minKey))
		l, err := New(Options{Path: Stdout, Out: io.Discard, Pseudonyms: p})
		check(b, err)
		benchmarkRecord(b, l)
	})
}

func benchmarkRecord(b *testing.B, l *Log) {
	r := example()
	b.ReportAllocs()
	for b.Loop() {
		r.TokenHash = HashToken(token)
		if err := l.Record(r); err != nil {
			b.Fatal(err)
		}
	}
	if l.Stats().Errors > 0 {
		b.Fatal(l.Healthy())
	}
}

func BenchmarkRecordParallel(b *testing.B) {
	l, _ := newLog(b, Options{MaxSize: 1 << 40})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := example()
		for pb.Next() {
			r.TokenHash = HashToken(token)
			if err := l.Record(r); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkHashToken(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		HashToken(token)
	}
}

func BenchmarkRead(b *testing.B) {
	r := example()
	r.Version = Version
	line := r.appendTo(nil)
	data := bytes.Repeat(line, 1000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		summary := NewSummary()
		check(b, Read(bytes.NewReader(data), &Tally{}, func(_ []byte, r *Record) error { summary.Add(r); return nil }))
	}
}
