package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const (
	account = "111122223333"
	region  = "eu-west-1"
)

// cloud has an EC2 with instances and an IAM with their profile.
type cloud struct {
	ec2     *awstest.EC2
	iam     *awstest.IAM
	config  aws.Config // leads there
	callers []iam.Identity

	servers map[string]*awstest.Server // by the first label of their host
}

func newCloud(instances int) (*cloud, error) {
	sts := awstest.New(awstest.Options{})
	c := &cloud{ec2: awstest.NewEC2(sts), iam: awstest.NewIAM(sts), servers: map[string]*awstest.Server{}}
	const server, role, profile = "arn:aws:iam::" + account + ":role/authenticator", "arn:aws:iam::" + account + ":role/nodes", "arn:aws:iam::" + account + ":instance-profile/nodes"
	if err := errors.Join(sts.AddRole(server, awstest.Role{}), sts.AddRole(role, awstest.Role{}), c.iam.SetInstanceProfile(profile, role)); err != nil {
		return nil, err
	}
	for i := range instances {
		id, err := caller(i)
		if err != nil {
			return nil, err
		}
		c.callers = append(c.callers, id)
		c.ec2.SetInstance(awstest.Instance{ID: id.SessionName, Account: account, Region: region, ProfileARN: profile,
			PrivateDNSName: fmt.Sprintf("ip-10-0-%d-%d.%s.compute.internal", i/256, i%256, region)})
	}
	c.ec2.SetFault(awstest.Fault{Latency: latency})
	c.iam.SetFault(awstest.Fault{Latency: latency})
	credentials, err := sts.Session(server, "bench")
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	for label, service := range map[string]awstest.Service{"ec2": c.ec2, "iam": c.iam} {
		s, err := awstest.NewServer(service, "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.servers[label] = s
		authorities.AppendCertsFromPEM(s.CAPEM())
	}
	c.config = aws.Config{Region: region, Credentials: credentials, HTTPClient: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authorities},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			label, _, _ := strings.Cut(address, ".")
			return c.servers[label].Dial(ctx)
		},
	}}}
	return c, nil
}

func (c *cloud) close() error {
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
