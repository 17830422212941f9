package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const verifyHelp = `Have STS say who made a token, as the server does, and print the identity.

Without --token the token is read from standard input, which keeps it out of the
process list and the shell's history.`

func newVerifyCommand(g *globals, std streams) *cobra.Command {
	var tokenFlag string
	output := "table"
	defaults := config.Default().Server
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Print who made a token",
		Long:    verifyHelp,
		Example: "  authenticator token -i my-cluster --token-only | authenticator verify -i my-cluster",
	}
	b := newBinding(cmd.Flags(), &defaults)
	b.verification()
	cmd.Flags().StringVarP(&tokenFlag, "token", "t", "", "`token` to verify (default: read it from standard input)")
	cmd.Flags().StringVarP(&output, "output", "o", output, "`format`: table, json or yaml")
	completeWords(cmd, "output", "table", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := b.load(g)
		if err != nil {
			return err
		}
		if c.ClusterID == "" {
			return usageError{errors.New("no cluster ID: give -i ID, or set " + envClusterID)}
		}
		print, ok := identityPrinters[output]
		if !ok {
			return usageError{fmt.Errorf("--output %q, want table, json or yaml", output)}
		}
		text := tokenFlag
		// An empty --token, as of an unset variable, is no token, and no reason to wait for one.
		if !cmd.Flags().Changed("token") || text == "-" {
			data, err := io.ReadAll(io.LimitReader(std.in, token.MaxLength+2))
			if err != nil {
				return fmt.Errorf("token from standard input: %w", err)
			}
			text = string(data)
		}
		verifier, err := newVerifier(c, token.VerifierOptions{})
		if err != nil {
			return usageError{err}
		}
		id, err := verifier.Verify(cmd.Context(), strings.TrimSpace(text))
		if err != nil {
			return err
		}
		return print(std.out, printedIdentity{
			ARN: id.ARN, CanonicalARN: id.CanonicalARN, AccountID: id.Account,
			UserID: id.UserID, SessionName: id.SessionName, AccessKeyID: id.AccessKeyID,
		})
	}
	return cmd
}

// newVerifier makes the verifier that a configuration describes, with the callbacks
// in o.
func newVerifier(c config.Config, o token.VerifierOptions) (*token.Verifier, error) {
	s := c.Server
	transport := token.TransportOptions{Concurrency: s.STSConcurrency, EmulatorAddress: s.STSEmulator.Address}
	if s.STSEmulator.Address != "" && s.STSEmulator.CAFile == "" {
		return nil, fmt.Errorf("the STS emulator %s needs a CA of its own: give --sts-emulator-ca FILE", s.STSEmulator.Address)
	}
	if s.STSEmulator.CAFile != "" {
		pem, err := os.ReadFile(s.STSEmulator.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA of the STS emulator: %w", err)
		}
		transport.EmulatorCA = x509.NewCertPool()
		if !transport.EmulatorCA.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA of the STS emulator: no certificate in %s", s.STSEmulator.CAFile)
		}
	}
	o.ClusterIDs = c.ClusterIDs()
	o.Partition = s.Partition
	o.ExtraRegions = s.STSRegions
	o.Transport = token.NewTransport(transport)
	o.Timeout = s.STSTimeout
	o.Calls = token.CallOptions{
		Concurrency: 2 * s.STSConcurrency,
		Rate:        float64(s.STSQPS), Burst: s.STSBurst,
		KeyRate: float64(s.STSAccessKeyQPS), KeyBurst: s.STSAccessKeyBurst,
	}
	o.Cache = token.CacheOptions{
		TTL: s.TokenCache.TTL, StaleOnError: s.TokenCache.StaleOnError, NegativeTTL: s.TokenCache.NegativeTTL,
		Entries: s.TokenCache.MaxEntries, Bytes: s.TokenCache.MaxBytes,
	}
	o.UserAgent = userAgent()
	return token.NewVerifier(o)
}

// printedIdentity has the keys of aws-iam-authenticator.
type printedIdentity struct {
	ARN          string
	CanonicalARN string
	AccountID    string
	UserID       string
	SessionName  string
	AccessKeyID  string
}

var identityPrinters = map[string]func(io.Writer, printedIdentity) error{
	"json": func(w io.Writer, id printedIdentity) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(id)
	},
	"yaml": func(w io.Writer, id printedIdentity) error {
		data, err := yaml.Marshal(id)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	},
	"table": func(w io.Writer, id printedIdentity) error {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "ARN\t%s\nCANONICAL ARN\t%s\nACCOUNT\t%s\nUSER ID\t%s\nSESSION NAME\t%s\nACCESS KEY ID\t%s\n",
			id.ARN, id.CanonicalARN, id.AccountID, id.UserID, id.SessionName, id.AccessKeyID)
		return table.Flush()
	},
}
