package node

import (
	"cmp"
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// callTimeout bounds one call, with what it takes to get credentials.
const callTimeout = 4 * time.Second

// caller makes calls to EC2 and IAM, at the rate that is allowed for both together.
type caller struct {
	load      func(context.Context) (aws.Config, error)
	userAgent string
	observe   func(Call)
	panicked  func(any, []byte)

	rate *rate
	ec2  service
	iam  service

	loading sync.Mutex
	clients *clients // guarded by loading; nil until they could be made
}

// clients are those of the two services.
type clients struct {
	ec2 *query
	iam *query
}

func newCaller(o Options) *caller {
	c := &caller{load: o.Load, userAgent: cmp.Or(o.UserAgent, "iam-authenticator"), observe: o.Observe, panicked: o.Panicked, rate: newRate(cmp.Or(o.Rate, 15), cmp.Or(o.Burst, 5))}
	if c.observe == nil {
		c.observe = func(Call) {}
	}
	if c.panicked == nil {
		c.panicked = func(any, []byte) {}
	}
	return c
}

// get returns the clients.
func (c *caller) get(ctx context.Context) (*clients, error) {
	c.loading.Lock()
	defer c.loading.Unlock()
	if c.clients == nil {
		config, err := c.load(ctx)
		if err != nil {
			return nil, reason.New(reason.EC2Unavailable, "%w", err)
		}
		ec2, err := newQuery(config, "ec2", "2016-11-15", c.userAgent)
		if err != nil {
			return nil, reason.New(reason.EC2Unavailable, "%w", err)
		}
		iam, err := newQuery(config, "iam", "2010-05-08", c.userAgent)
		if err != nil {
			return nil, reason.New(reason.EC2Unavailable, "%w", err)
		}
		c.clients = &clients{ec2, iam}
	}
	return c.clients, nil
}

// wait waits until a call may be made. It returns false, and doesn't wait, if that is
// after the deadline.
func (c *caller) wait(service *service, deadline time.Time) bool {
	end := service.pauseEnd()
	if end.After(deadline) {
		return false
	}
	time.Sleep(time.Until(end))
	turn, ok := c.rate.turn(deadline)
	if ok {
		time.Sleep(time.Until(turn))
	}
	return ok
}

// call makes one call, and another if the connection broke: connections that were idle do,
// and nobody is to wait for that. Its error is a *reason.Error.
func (c *caller) call(service *service, call Call, do func(context.Context, *clients) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	err := c.attempt(ctx, service, call, do)
	if (retry.RetryableConnectionError{}).IsErrorRetryable(err) == aws.TrueTernary && ctx.Err() == nil && c.wait(service, deadline) {
		err = c.attempt(ctx, service, call, do)
	}
	return err
}

func (c *caller) attempt(ctx context.Context, service *service, call Call, do func(context.Context, *clients) error) error {
	start := time.Now()
	clients, err := c.get(ctx)
	if err == nil {
		if err = do(ctx, clients); err != nil {
			err = explain(call.Operation, err)
		}
	}
	call.Reason, call.Duration = reason.Of(err), time.Since(start)
	service.called(err)
	c.observe(call)
	return err
}

// recovered ends a lookup that panicked as one without an answer.
func (c *caller) recovered(settle func(error)) {
	if p := recover(); p != nil {
		c.panicked(p, debug.Stack())
		settle(reason.New(reason.Internal, "the lookup of the instance failed"))
	}
}

// tooLate is the error of what can't be asked in time.
func tooLate() error {
	return reason.New(reason.EC2Throttled, "no call to EC2 and IAM is allowed in time")
}
