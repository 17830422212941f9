package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

// order tells the STS emulator how long to take for an answer, and asks how many calls have come in so far. It
// answers with a tally.
type order struct {
	Latency time.Duration
}

type tally struct {
	Calls int
}

// stsGreeting is what the emulator prints first.
type stsGreeting struct {
	greeting
	Sessions []awstest.Credentials // by person
}

// runSTS is the child. It takes orders on its standard input, and ends with it.
func runSTS() (err error) {
	sts := awstest.New(awstest.Options{})
	for role := range roles {
		if err := sts.AddRole(roleARN(role), awstest.Role{}); err != nil {
			return err
		}
	}
	hello := stsGreeting{Sessions: make([]awstest.Credentials, people)}
	for person := range hello.Sessions {
		if hello.Sessions[person], err = sts.Session(roleARN(roleOf(person)), sessionName(person)); err != nil {
			return err
		}
	}
	server, err := awstest.NewServer(sts, "127.0.0.1:0")
	if err != nil {
		return err
	}
	hello.Address, hello.CA = server.Addr(), server.CAPEM()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(hello); err != nil {
		return err
	}
	for orders := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return server.Close()
		} else if err != nil {
			return err
		}
		sts.ClearFaults()
		if o.Latency > 0 {
			sts.SetFault(awstest.Fault{Latency: o.Latency})
		}
		if err := out.Encode(tally{sts.Calls("")}); err != nil {
			return err
		}
	}
}

// emulator is the child, seen from its parent.
type emulator struct {
	stsGreeting
	process *process
	orders  *json.Encoder
	tallies *json.Decoder
	latency time.Duration
}

func startSTS(ctx context.Context) (*emulator, error) {
	cmd, err := self("sts")
	if err != nil {
		return nil, err
	}
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, err
	}
	e := &emulator{orders: json.NewEncoder(stdin), tallies: json.NewDecoder(stdout)}
	if e.process, err = start(ctx, cmd); err != nil {
		return nil, err
	}
	if err := e.tallies.Decode(&e.stsGreeting); err != nil {
		e.process.stop()
		return nil, childError("STS emulator", err)
	}
	return e, nil
}

// take sets how long an answer takes from now on.
func (e *emulator) take(latency time.Duration) error {
	e.latency = latency
	_, err := e.calls()
	return err
}

// calls returns how many calls have come in so far.
func (e *emulator) calls() (int, error) {
	var t tally
	if err := errors.Join(e.orders.Encode(order{e.latency}), e.tallies.Decode(&t)); err != nil {
		return 0, childError("STS emulator", err)
	}
	return t.Calls, nil
}

func childError(name string, err error) error {
	return fmt.Errorf("%s: the child says nothing: %w", name, err)
}
