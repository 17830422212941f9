package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iam-authenticator/authenticator/bench/report"
)

const (
	normalRate = 200  // logins a second of people
	newEvery   = 10   // of them one in so many has a token that is new
	floodRate  = 1000 // logins a second with access keys that nobody has
)

// flood measures what people see while somebody sends tokens with access keys that are made up, over the API
// server's own connection.
func (b *bench) flood(ctx context.Context) error {
	server, err := b.startAuthenticator(ctx, settings{})
	if err != nil {
		return err
	}
	defer server.stop()
	f := &flood{bench: b, server: server, tokens: newMint(b.sts.Sessions), duration: 5 * b.duration / 2}

	// What ordinary logins need is not the flood's doing.
	if _, err := f.round(ctx, new(flooded), false); err != nil {
		return err
	}
	before, err := f.memory(ctx)
	if err != nil {
		return err
	}
	alone, beside := new(flooded), new(flooded)
	all, err := byTurns(ctx, b.rounds,
		func(ctx context.Context) (measured, error) { return f.round(ctx, alone, false) },
		func(ctx context.Context) (measured, error) { return f.round(ctx, beside, true) })
	if err != nil {
		return err
	}
	after, err := f.memory(ctx)
	if err != nil {
		return err
	}

	rows := [][]string{{"people's logins", "alone, p50", "flooded, p50", "alone, p99", "flooded, p99", "ratio of p99", "shed alone", "shed flooded"}}
	for _, line := range []struct {
		name string
		compared
	}{
		{"token cached", compared{alone.cached, beside.cached}},
		{"token new", compared{alone.fresh, beside.fresh}},
		{"all", all},
	} {
		rows = append(rows, []string{line.name,
			short(latency(line.base, 0.5)), short(latency(line.other, 0.5)),
			short(latency(line.base, 0.99)), short(latency(line.other, 0.99)), line.ratio(percentile(0.99)),
			thousands(allRounds(line.base).count(unavailable)), thousands(allRounds(line.other).count(unavailable))})
	}
	strangers := &beside.strangers
	fmt.Print("\n### A flood of access keys that nobody has\n\n")
	report.Table(rows)
	fmt.Printf("\n%d logins per second of %d people, one in %d with a new token; %d per second with made-up keys; STS takes %v.\n"+
		"%d rounds of %v by turns, all over one connection of HTTP/2. Of %s made-up keys %s were denied and %s shed, the p99 was %s.\n"+
		"Calls to STS: %s alone, %s flooded. The server before the first flood and after the last: heap %s, %s; memory %s, %s.\n",
		normalRate, hotPeople, newEvery, floodRate, ordinarily, b.rounds, f.duration,
		thousands(strangers.total()), thousands(strangers.count(denied)), thousands(strangers.count(unavailable)), short(strangers.latency.percentile(0.99)),
		thousands(alone.calls), thousands(beside.calls), before.heap, after.heap, before.rss, after.rss)
	return nil
}

type flood struct {
	*bench
	server   *authenticator
	tokens   *mint
	duration time.Duration // of a round
}

// flooded is what the rounds beside a flood found, or those without one.
type flooded struct {
	cached, fresh []measured // people's logins
	strangers     stats
	calls         int // to STS
}

// round has people log in for a while, beside strangers or not, and returns what became of people's logins.
func (f *flood) round(ctx context.Context, found *flooded, strangers bool) (measured, error) {
	if err := f.sts.take(0); err != nil {
		return measured{}, err
	}
	known, err := f.tokens.logins(hotTokens, 0, hotPeople, granted, unavailable)
	if err != nil {
		return measured{}, err
	}
	if _, err := f.server.once(ctx, atOnce(4), known); err != nil {
		return measured{}, err
	}
	fresh, err := f.tokens.logins(int(normalRate*f.duration.Seconds())/newEvery+1, 0, hotPeople, granted, unavailable)
	if err != nil {
		return measured{}, err
	}
	madeUp, err := f.tokens.strangerLogins(int(floodRate * f.duration.Seconds()))
	if err != nil {
		return measured{}, err
	}
	if err := f.sts.take(ordinarily); err != nil {
		return measured{}, err
	}
	before, err := f.sts.calls()
	if err != nil {
		return measured{}, err
	}

	var ofCached, ofFresh stats
	cpu, err := f.server.load(ctx, overHTTP2, f.duration, func(clients []client) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			return openLoop(ctx, clients, 1000, pace{normalRate, exactSleep}, f.duration, func(i int) (*request, *stats) {
				if i%newEvery == 0 {
					return fresh[i/newEvery], &ofFresh
				}
				return known[i%len(known)], &ofCached
			})
		})
		if strangers {
			group.Go(func() error {
				return openLoop(ctx, clients, 4000, pace{floodRate, exactSleep}, f.duration, func(i int) (*request, *stats) {
					return madeUp[i], &found.strangers
				})
			})
		}
		return group.Wait()
	})
	if err != nil {
		return measured{}, err
	}
	after, err := f.sts.calls()
	found.calls += after - before
	found.cached = append(found.cached, newMeasured(&ofCached, cpu, f.duration))
	found.fresh = append(found.fresh, newMeasured(&ofFresh, cpu, f.duration))
	return newMeasured(together(&ofCached, &ofFresh), cpu, f.duration), err
}

type memoryUse struct{ heap, rss string }

// memory returns the memory that the server uses, and then what a garbage collection leaves of its heap.
func (f *flood) memory(ctx context.Context) (memoryUse, error) {
	rss, err := f.server.process.rss()
	if err != nil {
		return memoryUse{}, err
	}
	heap, err := f.server.heap(ctx)
	return memoryUse{megabytes(heap), megabytes(rss)}, err
}
