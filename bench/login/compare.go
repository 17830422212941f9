package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// measured is what one round of load found.
type measured struct {
	perSecond float64
	cpu       time.Duration // of the server, per login
	*stats
}

func newMeasured(s *stats, cpu, took time.Duration) measured {
	n := s.total()
	return measured{float64(n) / took.Seconds(), cpu / time.Duration(max(n, 1)), s}
}

// compared is the rounds of two things that were measured by turns, so that what else the machine does hits both:
// mostly the floor, which is the base, and the server.
type compared struct {
	base, other []measured
}

func byTurns(ctx context.Context, rounds int, base, other func(context.Context) (measured, error)) (compared, error) {
	var c compared
	for range rounds {
		for _, side := range []struct {
			measure func(context.Context) (measured, error)
			found   *[]measured
		}{{base, &c.base}, {other, &c.other}} {
			m, err := side.measure(ctx)
			if err != nil {
				return c, err
			}
			*side.found = append(*side.found, m)
		}
	}
	return c, nil
}

// ratio returns the median of a figure divided by that of the base in the same round, and between what the middle
// half of the rounds lies.
func (c compared) ratio(of func(measured) float64) string {
	ratios := make([]float64, len(c.other))
	for i := range ratios {
		ratios[i] = of(c.other[i]) / of(c.base[i])
	}
	text := fmt.Sprintf("%.2f", median(ratios))
	if len(ratios) > 1 {
		slices.Sort(ratios)
		n := len(ratios) - 1
		text += fmt.Sprintf(" (%.2f–%.2f)", ratios[n/4], ratios[n-n/4])
	}
	return text
}

func perSecond(m measured) float64 { return m.perSecond }

// perCPU is how many logins a processor of the server's own could take in a second: whoever makes the logins shares
// the machine with the server, and makes the two sides look more alike than they are.
func perCPU(m measured) float64 { return 1 / m.cpu.Seconds() }

func percentile(p float64) func(measured) float64 {
	return func(m measured) float64 { return float64(m.latency.percentile(p)) }
}

// middle is the median of a figure over all rounds.
func middle(rounds []measured, of func(measured) float64) float64 {
	values := make([]float64, len(rounds))
	for i, m := range rounds {
		values[i] = of(m)
	}
	return median(values)
}

func latency(rounds []measured, p float64) time.Duration {
	return time.Duration(middle(rounds, percentile(p)))
}

func cpuPerLogin(rounds []measured) time.Duration {
	return time.Duration(middle(rounds, func(m measured) float64 { return float64(m.cpu) }))
}

// allRounds returns what became of the logins of all rounds.
func allRounds(rounds []measured) *stats {
	parts := make([]*stats, len(rounds))
	for i, m := range rounds {
		parts[i] = m.stats
	}
	return together(parts...)
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// The forms in which figures are printed.

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func short(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
