package awstest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

// The SDK's own client calls STS in Frankfurt, and gets the emulator.
func Example() {
	emulator := awstest.New(awstest.Options{})
	alice, err := emulator.AddUser("arn:aws:iam::123456789012:user/alice")
	if err != nil {
		log.Fatal(err)
	}
	server, err := awstest.NewServer(emulator, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	client := sts.New(sts.Options{Region: "eu-central-1", Credentials: alice, HTTPClient: server.Client()})
	identity, err := client.GetCallerIdentity(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(*identity.Arn)
	fmt.Println(emulator.Requests()[0].Host)
	// Output:
	// arn:aws:iam::123456789012:user/alice
	// sts.eu-central-1.amazonaws.com
}
