package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The floor is the least that a webhook in Go does: it reads a TokenReview, and gives everybody the same answer.
// It is this program, run again as a child.

// floorPerson is whom the floor takes everybody for.
const floorPerson = 0

// floorHandler answers with what the authenticator says of a person.
func floorHandler() (http.Handler, error) {
	arn := "arn:aws:sts::" + account + ":assumed-role/team-00/" + sessionName(floorPerson)
	id := "AROAQWERTYUIOPASDFGHJ:" + sessionName(floorPerson)
	answer, err := json.Marshal(authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenReview"},
		Status: authenticationv1.TokenReviewStatus{
			Authenticated: true,
			User: authenticationv1.UserInfo{
				Username: username(floorPerson),
				UID:      "aws-iam-authenticator:" + account + ":" + id,
				Groups:   groups(roleOf(floorPerson)),
				Extra: map[string]authenticationv1.ExtraValue{
					"arn":          {arn},
					"canonicalArn": {roleARN(roleOf(floorPerson))},
					"sessionName":  {sessionName(floorPerson)},
					"accessKeyId":  {"ASIAQWERTYUIOPASDFGH"},
					"principalId":  {id},
					"sigs.k8s.io/aws-iam-authenticator/principalId": {id},
				},
			},
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &review)
		}
		if err != nil || review.Spec.Token == "" {
			http.Error(w, "want a TokenReview", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}), err
}

// greeting is the line that a child of this program prints when it serves.
type greeting struct {
	Address string // host:port
	CA      []byte // PEM
}

// runFloor is the child.
func runFloor() error {
	handler, err := floorHandler()
	if err != nil {
		return err
	}
	certificate, ca, err := selfSigned()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(greeting{listener.Addr().String(), ca}); err != nil {
		return err
	}
	server := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	return server.ServeTLS(listener, "", "")
}

// selfSigned returns a certificate like the authenticator's: ECDSA on P-256.
func selfSigned() (_ tls.Certificate, ca []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// startFloor starts the floor.
func startFloor(ctx context.Context) (*target, error) {
	cmd, err := self("floor")
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var hello greeting
	if err := json.NewDecoder(stdout).Decode(&hello); err != nil {
		p.stop()
		return nil, childError("floor", err)
	}
	return newTarget("floor", p, hello)
}

// self returns this program, to be run as a child.
func self(role string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, childArgument, role)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
