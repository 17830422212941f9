package main

import (
	"context"
	"fmt"
	"os"

	"github.com/iam-authenticator/authenticator/bench/report"
)

// flight counts the calls to STS that the first uses of one token make when they come all at once.
func (b *bench) flight(ctx context.Context) error {
	server, err := b.startAuthenticator(ctx, settings{})
	if err != nil {
		return err
	}
	defer server.stop()
	if err := b.sts.take(ordinarily); err != nil {
		return err
	}
	tokens := newMint(b.sts.Sessions)
	rows := [][]string{{"first uses of one token at once", "calls to STS", "granted", "shed", "p50", "the last"}}
	for i, n := range []int{10, 100, 1000} {
		fmt.Fprintf(os.Stderr, "  %d at once\n", n)
		login, err := tokens.logins(1, i, i+1, granted, unavailable)
		if err != nil {
			return err
		}
		same := make([]*request, n)
		for j := range same {
			same[j] = login[0]
		}
		before, err := b.sts.calls()
		if err != nil {
			return err
		}
		s, err := server.once(ctx, atOnce(n), same)
		if err != nil {
			return err
		}
		after, err := b.sts.calls()
		if err != nil {
			return err
		}
		rows = append(rows, []string{thousands(n), thousands(after - before), thousands(s.count(granted)), thousands(s.count(unavailable)),
			short(s.latency.percentile(0.5)), short(s.latency.percentile(1))})
	}
	fmt.Print("\n### One token, many at once\n\n")
	report.Table(rows)
	fmt.Printf("\nOver one connection of HTTP/2; STS takes %v.\n", ordinarily)
	return nil
}
