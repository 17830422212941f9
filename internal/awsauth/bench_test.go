package awsauth

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRemove shows that an entry costs the same, however many are removed with it.
func BenchmarkRemove(b *testing.B) {
	for _, format := range []string{"- {rolearn: '%srole/r%d', username: 'ä', groups: [a, b]}\n", "{\"rolearn\": \"%srole/r%d\", \"username\": \"ä\", \"groups\": [\"a\"]},"} {
		for _, n := range []int{500, 5000} {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, format, arn, i)
			}
			d := Document{roles: text.String()}
			if strings.HasPrefix(format, "{") {
				d[roles] = "[" + strings.TrimSuffix(text.String(), ",") + "]"
			}
			found, err := d.Entries()
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%.1s/%d", format, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := d.Remove(found[1:]...); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
			})
		}
	}
}
