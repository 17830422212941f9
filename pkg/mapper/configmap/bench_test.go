package configmap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source/sourcetest"
)

// large returns a ConfigMap at the limit of 1 MiB and the number of its entries.
func large(tag string) (cm *corev1.ConfigMap, entries int) {
	var b strings.Builder
	for {
		entry := fmt.Sprintf("- rolearn: arn:aws:iam::111122223333:role/team/role-%d\n  username: %s-%d:{{SessionName}}\n  groups:\n  - developers\n", entries, tag, entries)
		if b.Len()+len(entry) > 1<<20 {
			return configMap(roles(b.String())), entries
		}
		b.WriteString(entry)
		entries++
	}
}

// BenchmarkLoad is a change of a ConfigMap at the limit of 1 MiB until it is in force.
func BenchmarkLoad(b *testing.B) {
	m, _ := newMapper(b, sourcetest.New(b, "ConfigMap"))
	first, entries := large("a")
	second, _ := large("b")
	b.SetBytes(1 << 20)
	for i := 0; b.Loop(); i++ {
		store{m}.Upsert([]*corev1.ConfigMap{first, second}[i%2])
	}
	if got := m.Status().Entries; got != entries {
		b.Fatalf("%d entries, want %d", got, entries)
	}
	b.ReportMetric(float64(entries), "entries")
}

// BenchmarkLookup is what a request notices of a ConfigMap at the limit of 1 MiB,
// while it stays as it is and while it is being replaced without a pause.
func BenchmarkLookup(b *testing.B) {
	for _, edited := range []bool{false, true} {
		b.Run(fmt.Sprintf("edited=%t", edited), func(b *testing.B) {
			m, _ := newMapper(b, sourcetest.New(b, "ConfigMap"))
			first, _ := large("a")
			second, _ := large("b")
			store{m}.Upsert(first)
			id := identity(b, "arn:aws:sts::111122223333:assumed-role/role-4000/s")

			ctx, stop := context.WithCancel(b.Context())
			done := make(chan int)
			go func() {
				edits := 0
				for ; edited && ctx.Err() == nil; edits++ {
					store{m}.Upsert([]*corev1.ConfigMap{second, first}[edits%2])
				}
				done <- edits
			}()
			times := make([]time.Duration, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				if _, err := m.Lookup(id); err != nil {
					b.Fatal(err)
				}
				if len(times) < cap(times) {
					times = append(times, time.Since(begin))
				}
			}
			stop()
			b.ReportMetric(float64(<-done), "edits")
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
			b.ReportMetric(float64(times[len(times)*999/1000].Nanoseconds()), "p99.9-ns")
		})
	}
}
