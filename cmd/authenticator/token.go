package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/iam-authenticator/authenticator/pkg/token"
)

const tokenHelp = `Print a token that proves your AWS identity to a Kubernetes cluster.

kubectl runs this command when a kubeconfig says so:

  users:
  - name: me
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        interactiveMode: IfAvailable
        provideClusterInfo: true
        command: authenticator
        args: [token, -i, CLUSTER-ID]

Credentials come from where the AWS CLI takes them: environment, profiles, SSO, the
instance or container. With credentials and region at hand no network call is made.
The token is good for 14 minutes.`

func newTokenCommand(g *globals, std streams) *cobra.Command {
	var o token.GenerateOptions
	var tokenOnly bool
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print a token for kubectl",
		Long:  tokenHelp,
		Example: `  authenticator token -i my-cluster
  authenticator token -i my-cluster --role arn:aws:iam::111122223333:role/admins --cache`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			if c.ClusterID == "" {
				return usageError{errors.New("no cluster ID: give -i ID, or set " + envClusterID)}
			}
			exec, err := token.ParseExecInfo(os.Getenv("KUBERNETES_EXEC_INFO"))
			if err != nil {
				return usageError{err}
			}
			o.ClusterID, o.Server, o.NonInteractive = c.ClusterID, exec.Server, !exec.Interactive
			if !cmd.Flags().Changed("role") {
				o.RoleARN = c.DefaultRole
				if env := os.Getenv("DEFAULT_ROLE"); env != "" {
					o.RoleARN = env
				}
			}
			if err := o.Check(); err != nil {
				return usageError{err}
			}
			o.UserAgent = userAgent()
			o.Warn = func(warning string) { fmt.Fprintln(std.err, "Warning:", warning) }
			t, err := token.Generate(cmd.Context(), o)
			if err != nil {
				return err
			}
			if tokenOnly {
				_, err = fmt.Fprintln(std.out, t.Value)
				return err
			}
			credential, err := token.EncodeExecCredential(t, exec.APIVersion)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(std.out, "%s\n", credential)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Region, "region", "", "AWS `region` of the STS endpoint (default: that of the AWS configuration)")
	flags.StringVar(&o.Profile, "profile", "", "AWS `profile` to use (default: AWS_PROFILE)")
	flags.StringVarP(&o.RoleARN, "role", "r", "", "`ARN` of a role to assume (env DEFAULT_ROLE)")
	flags.StringVarP(&o.ExternalID, "external-id", "e", "", "external `ID` that the role's trust policy asks for")
	flags.StringVarP(&o.SessionName, "session-name", "s", "", "`name` of the role's session")
	flags.BoolVar(&o.ForwardSessionName, "forward-session-name", false, "give the role's session the name of the current one")
	flags.DurationVar(&o.SessionDuration, "session-duration", 0, "life of the role's session, 15m to 12h (default: 1h)")
	flags.BoolVar(&tokenOnly, "token-only", false, "print the token alone, not an ExecCredential")
	flags.BoolVar(&o.Cache, "cache", false, "keep the credentials that sign tokens on disk until they expire (file: env AWS_IAM_AUTHENTICATOR_CACHE_FILE)")
	return cmd
}
