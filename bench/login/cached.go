package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

// cached measures logins with tokens that the server has verified before.
func (b *bench) cached(ctx context.Context) error {
	floor, err := startFloor(ctx)
	if err != nil {
		return err
	}
	defer floor.process.stop()
	server, err := b.startAuthenticator(ctx, settings{unbounded: true})
	if err != nil {
		return err
	}
	defer server.stop()
	if err := b.sts.take(0); err != nil {
		return err
	}
	sessions := newMint(b.sts.Sessions)

	saturated := [][]string{{"at saturation", "logins/s", "floor", "ratio to the floor", "CPU per login", "floor", "ratio by CPU alone", "calls to STS"}}
	timed := [][]string{{"at a fixed rate", "logins/s", "p50", "floor", "p99", "floor", "ratio to the floor", "p99.9", "floor", "calls to STS"}}
	var curves []curve
	for _, p := range []protocol{overHTTP2, overHTTP1} {
		rate := 0.0
		for _, m := range []mix{
			{"one token", 1, false},
			{"100 tokens", 100, false},
			{"10,000 tokens", 10_000, false},
			{"10,000 tokens, Zipf", 10_000, true},
		} {
			name := p.name + ": " + m.name
			fmt.Fprintln(os.Stderr, " ", name)
			c, err := b.newCachedLogins(ctx, sessions, floor, server, p, m)
			if err != nil {
				return err
			}
			atMost, calls, err := c.saturated(ctx)
			if err != nil {
				return err
			}
			saturated = append(saturated, []string{name,
				thousands(int(middle(atMost.other, perSecond))), thousands(int(middle(atMost.base, perSecond))), atMost.ratio(perSecond),
				short(cpuPerLogin(atMost.other)), short(cpuPerLogin(atMost.base)), atMost.ratio(perCPU), thousands(calls)})

			if rate == 0 { // one for all mixes, so that they can be compared too
				rate = math.Round(middle(atMost.base, perSecond)/200) * 100
			}
			atRate, calls, err := c.atRate(ctx, rate)
			if err != nil {
				return err
			}
			timed = append(timed, []string{name, thousands(int(rate)),
				short(latency(atRate.other, 0.5)), short(latency(atRate.base, 0.5)),
				short(latency(atRate.other, 0.99)), short(latency(atRate.base, 0.99)), atRate.ratio(percentile(0.99)),
				short(latency(atRate.other, 0.999)), short(latency(atRate.base, 0.999)), thousands(calls)})
			if m.tokens == 10_000 && !m.zipf {
				curves = append(curves,
					curve{p.name + ", authenticator", p == overHTTP1, false, &allRounds(atRate.other).latency},
					curve{p.name + ", floor", p == overHTTP1, true, &allRounds(atRate.base).latency})
			}
		}
	}
	fmt.Print("\n### Cached logins\n\n")
	report.Table(saturated)
	fmt.Println()
	report.Table(timed)
	fmt.Printf("\n%d rounds of %v of each, floor and server by turns; medians, and in parentheses between what the middle half of the rounds lies.\n"+
		"%d logins at once at saturation; the fixed rate is half of what the floor could take.\n", b.rounds, b.duration, inFlight)
	if b.plot == "" {
		return nil
	}
	return writePlot(b.plot, "Cached logins, 10,000 tokens, at half of what the floor can take", curves)
}

// cachedLogins are logins of which the server has verified every token.
type cachedLogins struct {
	*bench
	floor, server *target
	log           func() error
	protocol      protocol
	picks         []int32
	requests      []*request
	ofFloor       []*request
}

func (b *bench) newCachedLogins(ctx context.Context, sessions *mint, floor *target, server *authenticator, p protocol, m mix) (*cachedLogins, error) {
	c := &cachedLogins{bench: b, floor: floor, server: server.target, log: server.trimLog, protocol: p, picks: m.picks()}
	var err error
	if c.requests, err = sessions.logins(m.tokens, 0, people, granted); err != nil {
		return nil, err
	}
	c.ofFloor = forFloor(c.requests)
	// Few at once, lest some be shed.
	if _, err = server.once(ctx, atOnce(8), c.requests); err != nil {
		return nil, err
	}
	// The first second of connections and heaps that grow is nobody's figure.
	for _, side := range []struct {
		target   *target
		requests []*request
	}{{floor, c.ofFloor}, {c.server, c.requests}} {
		if _, err := side.target.saturate(ctx, p, b.duration/4, c.source(side.requests, new(stats))); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// forFloor returns the same logins, to be answered by the floor.
func forFloor(requests []*request) []*request {
	of := make([]*request, len(requests))
	for i, r := range requests {
		of[i] = &request{body: r.body, username: usernameMember(username(floorPerson))}
		of[i].may[granted] = true
	}
	return of
}

func (c *cachedLogins) source(requests []*request, s *stats) source {
	return func(i int) (*request, *stats) { return requests[c.picks[i%picks]], s }
}

func (c *cachedLogins) saturated(ctx context.Context) (compared, int, error) {
	return c.compare(ctx, func(ctx context.Context, t *target, from source) (time.Duration, error) {
		return t.saturate(ctx, c.protocol, c.duration, from)
	})
}

func (c *cachedLogins) atRate(ctx context.Context, rate float64) (compared, int, error) {
	return c.compare(ctx, func(ctx context.Context, t *target, from source) (time.Duration, error) {
		return t.atRate(ctx, c.protocol, rate, c.duration, from)
	})
}

// compare loads floor and server by turns, and also returns how many calls to STS that took.
func (c *cachedLogins) compare(ctx context.Context, load func(context.Context, *target, source) (time.Duration, error)) (compared, int, error) {
	side := func(t *target, requests []*request) func(context.Context) (measured, error) {
		return func(ctx context.Context) (measured, error) {
			s := new(stats)
			cpu, err := load(ctx, t, c.source(requests, s))
			return newMeasured(s, cpu, c.duration), err
		}
	}
	before, err := c.sts.calls()
	if err != nil {
		return compared{}, 0, err
	}
	found, err := byTurns(ctx, c.rounds, side(c.floor, c.ofFloor), side(c.server, c.requests))
	if err != nil {
		return compared{}, 0, err
	}
	after, err := c.sts.calls()
	if err == nil {
		err = c.log()
	}
	return found, after - before, err
}
