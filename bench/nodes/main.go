// Command nodes measures how long new nodes take to log in that come all at once, as after
// a scale-up:
//
//	go run ./bench/nodes [-n NODES]
//
// EC2 and IAM are emulators on this machine that take 50 ms to answer. It prints Markdown;
// docs/performance.md shows it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/iam-authenticator/authenticator/bench/report"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/node"
)

const (
	latency = 50 * time.Millisecond
	qps     = 15
	burst   = 5
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n := flag.Int("n", 1000, "`nodes` that come at once")
	flag.Parse()
	if err := run(ctx, *n); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, n int) (err error) {
	if n < 1 || n > node.MaxWaiting {
		return fmt.Errorf("-n %d, want 1 to %d, which is how many may wait", n, node.MaxWaiting)
	}
	where, err := report.Machine(ctx)
	if err != nil {
		return err
	}
	cloud, err := newCloud(n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.close()) }()

	load := func(context.Context) (aws.Config, error) { return cloud.config, nil }
	resolver := node.New(node.Options{Load: load, Rate: qps, Burst: burst})
	resolved := func(prove bool) func(int) error {
		return func(i int) error {
			_, err := resolver.PrivateDNSName(ctx, cloud.callers[i], prove)
			return err
		}
	}
	unproven := node.New(node.Options{Load: load, Rate: qps, Burst: burst})
	client := ec2.NewFromConfig(cloud.config, func(o *ec2.Options) { o.Retryer = aws.NopRetryer{} })
	start := time.Now()
	rows := [][]string{{fmt.Sprintf("%d nodes at once", n), "calls to EC2", "to IAM", "median", "p99", "all are in"}}
	for _, scenario := range []struct {
		name  string
		login func(i int) error
	}{
		{"new, with a proof", resolved(true)},
		{"known", resolved(true)},
		{"new, without a proof", func(i int) error {
			_, err := unproven.PrivateDNSName(ctx, cloud.callers[i], false)
			return err
		}},
		{"new, one call for each", func(i int) error {
			// The i-th call has its turn then, at the same rate.
			turn := max(0, time.Duration(i-burst+1)*time.Second/qps)
			select {
			case <-time.After(time.Until(start.Add(turn))):
			case <-ctx.Done():
				return ctx.Err()
			}
			_, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{cloud.callers[i].SessionName}})
			return err
		}},
	} {
		fmt.Fprintln(os.Stderr, scenario.name, "…")
		cloud.ec2.Forget()
		cloud.iam.Forget()
		start = time.Now()
		took, err := atOnce(n, scenario.login)
		if err != nil {
			return fmt.Errorf("%s: %w", scenario.name, err)
		}
		rows = append(rows, []string{scenario.name, fmt.Sprint(cloud.ec2.Calls("")), fmt.Sprint(cloud.iam.Calls("")),
			show(took[n/2]), show(took[n*99/100]), show(took[n-1])})
	}
	fmt.Printf("> %s\n\n", where)
	report.Table(rows)
	return nil
}

// atOnce does something n times at once, and returns how long each took, sorted.
func atOnce(n int, do func(i int) error) ([]time.Duration, error) {
	took, errs := make([]time.Duration, n), make([]error, n)
	var group sync.WaitGroup
	start := time.Now()
	for i := range n {
		group.Go(func() {
			errs[i] = do(i)
			took[i] = time.Since(start)
		})
	}
	group.Wait()
	slices.Sort(took)
	return took, errors.Join(errs...)
}

func show(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}

// caller is the session of the role of nodes on the i-th instance.
func caller(i int) (iam.Identity, error) {
	session := fmt.Sprintf("i-%017x", i)
	return iam.NewIdentity("arn:aws:sts::"+account+":assumed-role/nodes/"+session, account, "AROAEXAMPLE:"+session, "ASIAEXAMPLE")
}
