package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

// distinct measures logins that each bring a token of their own, so that each takes a call to STS.
func (b *bench) distinct(ctx context.Context) error {
	rows := [][]string{{"STS takes", "calls at once", "bound", "logins/s", "of the bound", "a call took", "bound by that", "of that", "p50", "p99", "CPU per login", "shed"}}
	for _, concurrency := range []int{10, 20} {
		more, err := b.distinctWith(ctx, concurrency)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	fmt.Print("\n### Every login with a token of its own\n\n")
	report.Table(rows)
	fmt.Println("\nThe bound is calls at once, divided by what each takes: what STS was told to take, and what it took the server to get\n" +
		"an answer. Twice as many logins as calls are on their way at once.")
	return nil
}

// distinctWith returns the rows of a server that makes so many calls at once.
func (b *bench) distinctWith(ctx context.Context, concurrency int) (rows [][]string, err error) {
	server, err := b.startAuthenticator(ctx, settings{concurrency: concurrency, unbounded: true})
	if err != nil {
		return nil, err
	}
	defer server.stop()
	tokens := newMint(b.sts.Sessions)
	// Everybody has logged in before: the server may prefer those whom it knows.
	if err := b.sts.take(0); err != nil {
		return nil, err
	}
	known, err := tokens.logins(people, 0, people, granted)
	if err != nil {
		return nil, err
	}
	if _, err := server.once(ctx, atOnce(concurrency/2), known); err != nil {
		return nil, err
	}
	for _, latency := range []time.Duration{0, 20 * time.Millisecond, 80 * time.Millisecond} {
		fmt.Fprintf(os.Stderr, "  %d calls at once of %v\n", concurrency, latency)
		row, err := b.distinctAt(ctx, server, tokens, concurrency, latency)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (b *bench) distinctAt(ctx context.Context, server *authenticator, tokens *mint, concurrency int, latency time.Duration) ([]string, error) {
	duration := 3 * b.duration
	n := int(3000 * duration.Seconds())
	if latency > 0 {
		n = int(float64(concurrency) / latency.Seconds() * duration.Seconds())
	}
	requests, err := tokens.logins(n, 0, people, granted, unavailable)
	if err != nil {
		return nil, err
	}
	if err := b.sts.take(latency); err != nil {
		return nil, err
	}
	callSeconds, calls, err := server.stsCalls(ctx)
	if err != nil {
		return nil, err
	}
	var s stats
	var took time.Duration
	cpu, err := server.load(ctx, atOnce(2*concurrency), time.Minute, func(clients []client) error {
		start := time.Now()
		defer func() { took = time.Since(start) }()
		return each(ctx, clients, 2*concurrency, n, func(i int) (*request, *stats) { return requests[i], &s })
	})
	if err != nil {
		return nil, err
	}
	secondsAfter, callsAfter, err := server.stsCalls(ctx)
	if err != nil {
		return nil, err
	}
	perCall := (secondsAfter - callSeconds) / max(callsAfter-calls, 1)
	perSecond := float64(s.count(granted)) / took.Seconds()
	bound, ofBound := "–", "–"
	if latency > 0 {
		limit := float64(concurrency) / latency.Seconds()
		bound, ofBound = fmt.Sprintf("%d ÷ %v = %.0f/s", concurrency, latency, limit), fmt.Sprintf("%.1f %%", 100*perSecond/limit)
	}
	return []string{latency.String(), fmt.Sprint(concurrency), bound, fmt.Sprintf("%.0f", perSecond), ofBound,
		short(time.Duration(perCall * float64(time.Second))), fmt.Sprintf("%.0f/s", float64(concurrency)/perCall), fmt.Sprintf("%.1f %%", 100*perSecond*perCall/float64(concurrency)),
		short(s.latency.percentile(0.5)), short(s.latency.percentile(0.99)), short(cpu / time.Duration(n)), thousands(s.count(unavailable))}, nil
}

// stsCalls returns how long calls to STS took the server in all, and how many there were.
func (a *authenticator) stsCalls(ctx context.Context) (seconds, calls float64, err error) {
	if seconds, err = a.metric(ctx, "iam_authenticator_sts_call_duration_seconds_sum"); err != nil {
		return 0, 0, err
	}
	calls, err = a.metric(ctx, "iam_authenticator_sts_call_duration_seconds_count")
	return seconds, calls, err
}
