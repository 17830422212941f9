package token_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/iam-authenticator/authenticator/pkg/token"
)

// A program that has credentials of its own makes tokens without any call.
func ExamplePresign() {
	provider := credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
	creds, err := provider.Retrieve(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	tok, err := token.Presign(context.Background(), creds, token.PresignOptions{
		ClusterID: "prod",
		Region:    "eu-central-1",
		Now:       func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Authorization: Bearer", tok.Value[:len(token.Prefix)]+"…")
	fmt.Println("use until", tok.Expiration)
	// Output:
	// Authorization: Bearer k8s-aws-v1.…
	// use until 2026-03-04 05:20:07 +0000 UTC
}

// An exec plugin of kubectl finds everything in its environment.
func ExampleGenerate() {
	info, err := token.ParseExecInfo(os.Getenv("KUBERNETES_EXEC_INFO"))
	if err != nil {
		log.Fatal(err)
	}
	tok, err := token.Generate(context.Background(), token.GenerateOptions{
		ClusterID:      "prod",
		Server:         info.Server,
		RoleARN:        "arn:aws:iam::111122223333:role/admins",
		Cache:          true,
		NonInteractive: !info.Interactive,
		Warn:           func(w string) { fmt.Fprintln(os.Stderr, "warning:", w) },
	})
	if err != nil {
		log.Fatal(err)
	}
	out, err := token.EncodeExecCredential(tok, info.APIVersion)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
}
