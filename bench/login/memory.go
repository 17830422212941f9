package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/iam-authenticator/authenticator/bench/report"
)

// memory measures what the server needs to remember verified tokens.
func (b *bench) memory(ctx context.Context) error {
	server, err := b.startAuthenticator(ctx, settings{unbounded: true})
	if err != nil {
		return err
	}
	defer server.stop()
	if err := b.sts.take(0); err != nil {
		return err
	}
	sizes := []int{0, 10_000, 50_000, 100_000}
	if b.short {
		sizes = []int{0, 2_000}
	}
	rows := [][]string{{"tokens verified", "heap", "memory of the process", "verified in", "used again: logins", "calls to STS"}}
	verified := 0
	tokens := newMint(b.sts.Sessions)
	for _, size := range sizes {
		fmt.Fprintf(os.Stderr, "  %d tokens\n", size)
		requests, err := tokens.logins(size-verified, 0, people, granted)
		if err != nil {
			return err
		}
		verified = size
		start := time.Now()
		if size > 0 {
			if _, err := server.once(ctx, atOnce(16), requests); err != nil {
				return err
			}
		}
		took := time.Since(start)
		rss, err := server.process.rss()
		if err != nil {
			return err
		}
		heap, err := server.heap(ctx)
		if err != nil {
			return err
		}
		row := []string{thousands(size), megabytes(heap), megabytes(rss), took.Round(10 * time.Millisecond).String(), "–", "–"}
		if size > 0 {
			again := requests[len(requests)-min(1000, len(requests)):]
			before, err := b.sts.calls()
			if err != nil {
				return err
			}
			if _, err := server.once(ctx, atOnce(16), again); err != nil {
				return err
			}
			after, err := b.sts.calls()
			if err != nil {
				return err
			}
			row[4], row[5] = thousands(len(again)), thousands(after-before)
		}
		rows = append(rows, row)
		if err := server.trimLog(); err != nil {
			return err
		}
	}
	fmt.Print("\n### Memory\n\n")
	report.Table(rows)
	fmt.Println("\nThe heap is what a garbage collection leaves. The tokens used again are the last.")
	return nil
}
