package certs_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"

	"github.com/iam-authenticator/authenticator/pkg/server/certs"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	source, err := certs.New(certs.Options{Dir: dir, Hostname: "localhost", Address: "127.0.0.1"})
	if err != nil {
		panic(err)
	}
	changed, err := certs.WriteKubeconfig(dir+"/kubeconfig.yaml", certs.Kubeconfig{
		Hostname: "localhost",
		Port:     21362,
		CABundle: source.CABundle(),
	})
	fmt.Println("kubeconfig written:", changed, err)

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- source.Run(ctx) }()
	_ = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: source.GetCertificate}
	stop()
	fmt.Println("ended:", <-done)
	// Output:
	// kubeconfig written: true <nil>
	// ended: <nil>
}
