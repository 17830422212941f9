package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/pkg/config"
)

const readyHelp = `Ask the server on this machine whether it is ready, and print its checks.

It is for where there is no curl, as in the image: "helm test" runs it, and container
engines can as their health check. The server is asked over plain HTTP, at the address
and port that its configuration or the flags name.`

func newReadyCommand(g *globals, std streams) *cobra.Command {
	defaults := config.Default().Server
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Tell whether the server is ready",
		Long:  readyHelp,
		Example: `  authenticator ready
  authenticator ready --config /etc/aws-iam-authenticator/config.yaml`,
	}
	b := newBinding(cmd.Flags(), &defaults)
	b.health()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := b.load(g)
		if err != nil {
			return err
		}
		if c.Server.HealthPort == 0 {
			return usageError{errors.New("server.healthPort is 0: the server says nothing about its health over plain HTTP")}
		}
		host := c.Server.HealthAddress
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		url := "http://" + net.JoinHostPort(host, strconv.Itoa(c.Server.HealthPort)) + "/readyz?verbose"
		req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, url, nil)
		if err != nil {
			return usageError{err}
		}
		client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second} // and no proxy
		res, err := client.Do(req)
		if err != nil {
			return noAnswerError{fmt.Errorf("%w: is the server running, with this health address and port?", err)}
		}
		defer res.Body.Close()
		if _, err := io.Copy(std.out, io.LimitReader(res.Body, 1<<20)); err != nil {
			return noAnswerError{err}
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the server is not ready (%s)", res.Status)
		}
		return nil
	}
	return cmd
}
