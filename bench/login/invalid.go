package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

const (
	hotRate    = 2000 // good logins a second, beside which bad ones come
	hotTokens  = 100
	hotPeople  = 20
	ordinarily = 20 * time.Millisecond // what STS takes
)

// invalid measures what bad tokens do to logins with good ones that are cached.
func (b *bench) invalid(ctx context.Context) error {
	floor, err := startFloor(ctx)
	if err != nil {
		return err
	}
	defer floor.process.stop()
	server, err := b.startAuthenticator(ctx, settings{})
	if err != nil {
		return err
	}
	defer server.stop()
	tokens := newMint(b.sts.Sessions)
	rows := [][]string{{"beside", "good/s", "bad/s", "p50", "floor", "p99", "floor", "ratio to the floor", "p99.9", "CPU per login", "floor", "bad ones denied", "bad ones shed", "calls to STS"}}
	for _, beside := range []struct {
		name  string
		every int // bad login among so many
		make  func(n int) ([]*request, error)
	}{
		{"nothing", 0, nil},
		{"1 % that STS refuses", 100, func(n int) ([]*request, error) { return tokens.badLogins(n, people-100, people) }},
		{"50 % that STS refuses", 2, func(n int) ([]*request, error) { return tokens.badLogins(n, people-100, people) }},
		{"50 % malformed", 2, tokens.malformedLogins},
	} {
		fmt.Fprintln(os.Stderr, "  beside", beside.name)
		if err := b.sts.take(0); err != nil {
			return err
		}
		good, err := tokens.logins(hotTokens, 0, hotPeople, granted)
		if err != nil {
			return err
		}
		if _, err := server.once(ctx, atOnce(4), good); err != nil {
			return err
		}
		if err := b.sts.take(ordinarily); err != nil {
			return err
		}
		rate, badRate := float64(hotRate), 0.0
		if beside.every > 0 {
			rate = hotRate * float64(beside.every) / float64(beside.every-1)
			badRate = rate - hotRate
		}
		var badStats stats
		side := func(t *target, good []*request) func(context.Context) (measured, error) {
			return func(ctx context.Context) (measured, error) {
				var bad []*request
				if beside.every > 0 {
					// No client sends a token twice that was refused; the API server wouldn't ask.
					if bad, err = beside.make(int(rate*b.duration.Seconds())/beside.every + 1); err != nil {
						return measured{}, err
					}
				}
				spoilt := &badStats
				if t == floor {
					bad, spoilt = forFloor(bad), new(stats)
				}
				s := new(stats)
				cpu, err := t.atRate(ctx, atOnce(4000), rate, b.duration, func(i int) (*request, *stats) {
					if beside.every > 0 && i%beside.every == 0 {
						return bad[i/beside.every], spoilt
					}
					return good[i%len(good)], s
				})
				m := newMeasured(s, cpu, b.duration)
				m.cpu = cpu / time.Duration(rate*b.duration.Seconds())
				return m, err
			}
		}
		before, err := b.sts.calls()
		if err != nil {
			return err
		}
		found, err := byTurns(ctx, b.rounds, side(floor, forFloor(good)), side(server.target, good))
		if err != nil {
			return err
		}
		after, err := b.sts.calls()
		if err != nil {
			return err
		}
		rows = append(rows, []string{beside.name, thousands(hotRate), thousands(int(badRate)),
			short(latency(found.other, 0.5)), short(latency(found.base, 0.5)),
			short(latency(found.other, 0.99)), short(latency(found.base, 0.99)), found.ratio(percentile(0.99)),
			short(latency(found.other, 0.999)), short(cpuPerLogin(found.other)), short(cpuPerLogin(found.base)),
			thousands(badStats.count(denied)), thousands(badStats.count(unavailable)), thousands(after - before)})
		if err := server.trimLog(); err != nil {
			return err
		}
	}
	fmt.Print("\n### Good logins beside bad ones\n\n")
	report.Table(rows)
	fmt.Printf("\n%d rounds of %v, by turns; times are those of the good logins, with %d tokens; STS takes %v. No bad token comes twice.\n",
		b.rounds, b.duration, hotTokens, ordinarily)
	return nil
}
