package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/iam-authenticator/authenticator/internal/awsendpoint"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// maxAnswer is the largest answer read, in bytes. That about 100 instances has some hundred
// kilobytes.
const maxAnswer = 8 << 20

// query calls a service of the Query protocol. The SDK's clients of EC2 and IAM are not
// used: they more than double the size of this program, which kubectl starts for every call.
type query struct {
	service     string // "ec2" or "iam"
	version     string // of the API
	endpoint    *url.URL
	region      string // that requests are signed for
	credentials aws.CredentialsProvider
	http        aws.HTTPClient
	userAgent   string
}

func newQuery(cfg aws.Config, service, version, userAgent string) (*query, error) {
	q := &query{service: service, version: version, region: cfg.Region, credentials: cfg.Credentials, http: cfg.HTTPClient, userAgent: userAgent}
	if q.http == nil {
		q.http = awshttp.NewBuildableClient() // as the SDK would
	}
	host, err := ec2Host(cfg)
	if service == "iam" {
		host, q.region, err = iamHost(cfg)
	}
	configured, configuredErr := awsendpoint.Configured(cfg, strings.ToUpper(service))
	switch {
	case configuredErr != nil:
		return nil, configuredErr
	case configured != nil:
		q.endpoint = configured
	case err != nil:
		return nil, fmt.Errorf("endpoint of %s in the region %q: %w", service, cfg.Region, err)
	default:
		q.endpoint = &url.URL{Scheme: "https", Host: host}
	}
	return q, nil
}

// ec2Host returns the host of EC2 in a region, in the variant that is asked for.
// https://docs.aws.amazon.com/general/latest/gr/ec2-service.html
func ec2Host(cfg aws.Config) (string, error) {
	v := awsendpoint.VariantOf(cfg)
	domain, err := awsendpoint.Domain(cfg.Region, v.DualStack)
	prefix := "ec2."
	// In GovCloud all endpoints are FIPS endpoints, but for those of both kinds.
	if v.FIPS && (v.DualStack || !strings.HasPrefix(cfg.Region, "us-gov-")) {
		prefix = "ec2-fips."
	}
	return prefix + cfg.Region + "." + domain, err
}

// iamHost returns the host of IAM, which is one for a whole partition, and the region that
// requests to it are signed for.
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html
func iamHost(cfg aws.Config) (host, region string, err error) {
	partition := "aws"
	if p, ok := iam.PartitionOfRegion(cfg.Region); ok {
		partition = p.ID
	}
	switch partition {
	case "aws":
		v := awsendpoint.VariantOf(cfg)
		switch {
		case v.FIPS && v.DualStack:
			return "iam-fips.global.api.aws", "us-east-1", nil
		case v.FIPS:
			return "iam-fips.amazonaws.com", "us-east-1", nil
		case v.DualStack:
			return "iam.global.api.aws", "us-east-1", nil
		}
		return "iam.amazonaws.com", "us-east-1", nil
	case "aws-cn":
		return "iam.cn-north-1.amazonaws.com.cn", "cn-north-1", nil
	case "aws-us-gov":
		return "iam.us-gov.amazonaws.com", "us-gov-west-1", nil
	case "aws-iso":
		return "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", nil
	case "aws-iso-b":
		return "iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", nil
	case "aws-iso-e":
		return "iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", nil
	case "aws-iso-f":
		return "iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", nil
	case "aws-eusc":
		return "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", nil
	default:
		return "", cfg.Region, fmt.Errorf("not known in the partition %s: set AWS_ENDPOINT_URL_IAM", partition)
	}
}

// call performs an action, and decodes the answer into out. A refusal is a smithy.APIError.
func (q *query) call(ctx context.Context, action string, params url.Values, out any) error {
	params.Set("Action", action)
	params.Set("Version", q.version)
	body := params.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.endpoint.String(), strings.NewReader(body))
	if err != nil {
		return err
	}
	if request.URL.Path == "" {
		request.URL.Path = "/"
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("User-Agent", q.userAgent)
	credentials, err := q.credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("get AWS credentials: %w", err)
	}
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), q.service, q.region, time.Now()); err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	response, err := q.http.Do(request)
	if err != nil {
		return &smithyhttp.RequestSendError{Err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &smithyhttp.RequestSendError{Err: err}
	case response.Request != nil && response.Request.URL.String() != request.URL.String():
		// The SDK's client follows some redirects, and nobody else's answer counts.
		return fmt.Errorf("%s redirects to %s: is it AWS?", q.endpoint.Host, response.Request.URL.Host)
	case len(answer) > maxAnswer:
		return fmt.Errorf("the answer has more than %d bytes: is %s AWS?", maxAnswer, q.endpoint.Host)
	case response.StatusCode != http.StatusOK:
		return refusal(response.Status, answer)
	}
	if err := xml.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer is not the XML expected: is %s AWS? %w", q.endpoint.Host, err)
	}
	return nil
}

// refusal reads an error: EC2's is in Response/Errors, IAM's in ErrorResponse.
func refusal(status string, answer []byte) error {
	type reason struct {
		Code    string
		Message string
	}
	var document struct {
		EC2 reason `xml:"Errors>Error"`
		IAM reason `xml:"Error"`
	}
	_ = xml.Unmarshal(answer, &document) // a proxy's answer may be anything; its status says enough
	r := document.EC2
	if r.Code == "" {
		r = document.IAM
	}
	if r.Code == "" {
		return fmt.Errorf("status %s", status)
	}
	return &smithy.GenericAPIError{Code: r.Code, Message: r.Message}
}

// describeInstances is the part of a DescribeInstances answer that counts.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
type describeInstances struct {
	XMLName      xml.Name `xml:"DescribeInstancesResponse"`
	Reservations []struct {
		Owner     string `xml:"ownerId"`
		Instances []struct {
			ID             string `xml:"instanceId"`
			PrivateDNSName string `xml:"privateDnsName"`
			State          string `xml:"instanceState>name"`
			ProfileARN     string `xml:"iamInstanceProfile>arn"`
		} `xml:"instancesSet>item"`
	} `xml:"reservationSet>item"`
}

// getInstanceProfile is the part of a GetInstanceProfile answer that counts.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetInstanceProfile.html
type getInstanceProfile struct {
	XMLName xml.Name `xml:"GetInstanceProfileResponse"`
	ARN     string   `xml:"GetInstanceProfileResult>InstanceProfile>Arn"`
	Roles   []struct {
		ARN    string `xml:"Arn"`
		Policy string `xml:"AssumeRolePolicyDocument"`
	} `xml:"GetInstanceProfileResult>InstanceProfile>Roles>member"`
}
