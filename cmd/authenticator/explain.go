package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/iam-authenticator/authenticator/internal/access"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/node"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const explainHelp = `Explain why a login is granted or refused, step by step, and what would mend it.

The login is that with a token, read from standard input (bare, or as "authenticator
token" prints it) or from a file; or that of a principal, with --arn; or those that a
server refused last, from its JSON log or its audit file, with --log. The code that
decides is the server's own. The token is not shown, nor is its signature.
` + sourcesHelp + `

Exit codes: 0 granted, 1 refused, 2 wrong usage or configuration, 3 it could not be
found out. With --log: 1 if any of the logins would still be refused.`

// explainFlags say what to explain.
type explainFlags struct {
	*sourceFlags
	tokenFile   string
	offline     bool
	arn         string
	sessionName string
	principalID string
	log         string
	last        int
	output      string
}

func newExplainCommand(g *globals, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Explain why a login is granted or refused",
		Long:  explainHelp,
		Example: `  authenticator token -i my-cluster | authenticator explain -i my-cluster
  authenticator explain --arn arn:aws:iam::111122223333:role/developers --session-name alice
  authenticator explain --arn arn:aws:iam::111122223333:user/bob --aws-auth aws-auth.yaml
  authenticator explain --log server.log --last 3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if strings.Contains(strings.Join(args, " "), token.Prefix) {
				return tokenNotHere
			}
			return noArgs(cmd, args)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.Contains(err.Error(), token.Prefix) {
			return tokenNotHere
		}
		return cmd.Root().FlagErrorFunc()(cmd, err)
	})
	f := &explainFlags{sourceFlags: newSourceFlags(g, std, cmd)}
	f.b.verification()
	flags := cmd.Flags()
	flags.StringVar(&f.tokenFile, "token-file", "", "`file` with the token (default: standard input)")
	flags.BoolVar(&f.offline, "offline", false, "ask neither STS nor EC2: explain a login as far as that goes")
	flags.StringVar(&f.arn, "arn", "", "`ARN` of a user, a role or a session of one, instead of a token")
	flags.StringVar(&f.sessionName, "session-name", "", "`name` of the session of the role")
	flags.StringVar(&f.principalID, "principal-id", "", "unique `ID` of the principal, AROA… or AIDA… (default: what an entry wants)")
	flags.StringVar(&f.log, "log", "", "`file` with the JSON log or the audit records of a server, or - for standard input, instead of a token")
	flags.IntVar(&f.last, "last", 1, "`number` of refused logins of --log to explain, newest first")
	flags.StringVarP(&f.output, "output", "o", "text", "`format`: text or json")
	completeWords(cmd, "output", "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(flags); err != nil {
			return err
		}
		c, err := f.load()
		if err != nil {
			return err
		}
		switch {
		case f.arn != "":
			return f.explainARN(cmd.Context(), c)
		case f.log != "":
			return f.explainLog(cmd.Context(), c)
		default:
			return f.explainToken(cmd.Context(), c)
		}
	}
	return cmd
}

var tokenNotHere = usageError{errors.New("a token is neither an argument nor a flag, which others could see: give it on standard input, or in a file with --token-file")}

// check refuses flags that don't go together. It quotes no token that was mistaken for
// the value of another flag.
func (f *explainFlags) check(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(flag *pflag.Flag) {
		if strings.Contains(flag.Value.String(), token.Prefix) {
			err = tokenNotHere
		}
	})
	if err != nil {
		return err
	}
	if err := checkOutput(f.output, "text", "json"); err != nil {
		return err
	}
	for _, pair := range [][2]string{{"arn", "token-file"}, {"arn", "log"}, {"log", "token-file"}} {
		if flags.Changed(pair[0]) && flags.Changed(pair[1]) {
			return usageError{fmt.Errorf("--%s and --%s don't go together", pair[0], pair[1])}
		}
	}
	for flag, of := range map[string]string{"session-name": "arn", "principal-id": "arn", "last": "log"} {
		if flags.Changed(flag) && !flags.Changed(of) {
			return usageError{fmt.Errorf("--%s goes with --%s", flag, of)}
		}
	}
	if f.last < 1 {
		return usageError{fmt.Errorf("--last %d, want at least 1", f.last)}
	}
	if f.arn == "" && f.log == "" && f.tokenFile == "" && isTerminal(f.std.in) {
		return usageError{errors.New("nothing to explain: give a token on standard input (authenticator token | authenticator explain), --arn ARN or --log FILE")}
	}
	return nil
}

// nodes are asked about the instance that a session is named after.
func (f *explainFlags) nodes(c config.Config) mapper.Nodes {
	if f.offline {
		return access.NoNodes{}
	}
	return newNodes(c.Server, node.Options{})
}

// isTerminal tells whether nothing is to be expected of an input: a terminal, or what
// stands for none.
func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (f *explainFlags) explainARN(ctx context.Context, c config.Config) error {
	p, err := iam.ParsePrincipal(f.arn)
	switch {
	case err != nil:
		return usageError{fmt.Errorf("--arn: %w", err)}
	case f.sessionName != "" && p.Kind != iam.Role:
		return usageError{fmt.Errorf("--session-name: a %s has no sessions", p.Kind)}
	case f.sessionName != "" && p.SessionName != "" && f.sessionName != p.SessionName:
		return usageError{fmt.Errorf("--session-name %q, but --arn is that of the session %q", f.sessionName, p.SessionName)}
	}
	sources, err := f.read(ctx, c, f.nodes(c))
	if err != nil {
		return err
	}
	explanation, err := sources.ExplainARN(ctx, p, f.sessionName, f.principalID)
	if err != nil {
		return usageError{err}
	}
	return f.print(&explanation)
}

func (f *explainFlags) explainToken(ctx context.Context, c config.Config) error {
	endpoints, err := token.NewEndpoints(c.Server.Partition, c.Server.STSRegions...)
	if err != nil {
		return usageError{err}
	}
	o := token.VerifierOptions{}
	options := access.TokenOptions{
		Endpoints: endpoints,
		Sources:   func(ctx context.Context) (*access.Sources, error) { return f.read(ctx, c, f.nodes(c)) },
	}
	if !f.offline {
		if c.ClusterID == "" {
			return usageError{errors.New("no cluster ID: give -i ID, or set " + envClusterID + ", or --offline not to ask STS")}
		}
		options.ClusterIDs = c.ClusterIDs()
		verifier, err := newVerifier(c, o)
		if err != nil {
			return usageError{err}
		}
		options.Verifier = verifier
	}
	bearer, err := f.bearer()
	if err != nil {
		return err
	}
	explanation, err := access.ExplainToken(ctx, bearer, options)
	if err != nil {
		return err
	}
	return f.print(&explanation)
}

// bearer returns the token, bare or in an ExecCredential.
func (f *explainFlags) bearer() (string, error) {
	data, err := f.readInput(f.tokenFile, 4*token.MaxLength)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(data))
	var credential struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &credential) == nil {
		return credential.Status.Token, nil
	}
	return text, nil
}

// readInput reads a file, or standard input, up to a number of bytes.
func (f *explainFlags) readInput(path string, most int64) ([]byte, error) {
	if path == "" || path == "-" {
		return io.ReadAll(io.LimitReader(f.std.in, most))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, usageError{err}
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

func (f *explainFlags) explainLog(ctx context.Context, c config.Config) error {
	input := f.std.in
	if f.log != "-" {
		file, err := os.Open(f.log)
		if err != nil {
			return usageError{fmt.Errorf("--log: %w", err)}
		}
		defer file.Close()
		input = file
	}
	denials, unread, err := access.ReadDenials(input, f.last)
	if err != nil {
		return usageError{fmt.Errorf("--log %s: %w", f.log, err)}
	}
	if unread > 0 {
		fmt.Fprintf(f.std.err, "Warning: %d lines of %s can not be read\n", unread, f.log)
	}
	explanations := []*access.Explanation{}
	if len(denials) > 0 {
		sources, err := f.read(ctx, c, f.nodes(c))
		if err != nil {
			return err
		}
		for _, denial := range denials {
			explanation := sources.ExplainDenial(ctx, denial)
			explanations = append(explanations, &explanation)
		}
	} else {
		fmt.Fprintln(f.std.err, "No refused login found.")
	}
	if f.output == "json" {
		if err := access.WriteJSON(f.std.out, explanations); err != nil {
			return err
		}
		return told(worst(explanations))
	}
	return f.print(explanations...)
}

// worst returns why the first of the logins is refused, else why the first is not
// decided, else nil.
func worst(explanations []*access.Explanation) (err error) {
	for _, e := range explanations {
		switch {
		case e.Err() == nil:
		case reason.Of(e.Err()).Outcome() != reason.Unavailable:
			return e.Err()
		case err == nil:
			err = e.Err()
		}
	}
	return err
}

// print prints explanations, of one in JSON an object. It returns the worst of them,
// which is told then.
func (f *explainFlags) print(explanations ...*access.Explanation) error {
	for i, e := range explanations {
		write := e.WriteText
		if f.output == "json" {
			write = func(w io.Writer) error { return access.WriteJSON(w, e) }
		}
		if i > 0 {
			fmt.Fprintln(f.std.out)
		}
		if err := write(f.std.out); err != nil {
			return err
		}
	}
	return told(worst(explanations))
}
