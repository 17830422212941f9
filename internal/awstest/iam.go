package awstest

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// IAM emulates GetInstanceProfile of AWS IAM for the identities that an [STS] knows. It
// verifies signatures as that does, and is an [http.Handler]. A caller sees the instance
// profiles of its own account; IAM policies are not looked at, but FaultDenied is.
//
// Parameters, elements and error codes are those of
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetInstanceProfile.html
type IAM struct {
	query

	mu       sync.RWMutex
	profiles map[profileKey]instanceProfile
}

// profileKey tells instance profiles apart as IAM does: by name, whatever the path and case.
type profileKey struct{ partition, account, name string }

type instanceProfile struct{ arn, path, name, roleARN string }

// NewIAM returns an IAM without instance profiles.
func NewIAM(identities *STS) *IAM {
	return &IAM{query: query{identities: identities}, profiles: make(map[profileKey]instanceProfile)}
}

// SetInstanceProfile creates or changes an instance profile, "arn:aws:iam::123456789012:instance-profile/path/name".
// It has one role, or none if roleARN is empty. The [STS] must know the role.
func (i *IAM) SetInstanceProfile(arn, roleARN string) error {
	m := profilePattern().FindStringSubmatch(arn)
	if m == nil {
		return fmt.Errorf("%q is not an ARN of an instance profile", arn)
	}
	if roleARN != "" {
		if _, err := i.identities.find(roleARN); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.profiles[profileKey{m[1], m[2], strings.ToLower(m[4])}] = instanceProfile{arn, m[3], m[4], roleARN}
	return nil
}

var (
	profilePattern     = lazyPattern(`^arn:(aws(?:-[a-z]+)*):iam::([0-9]{12}):instance-profile(/(?:[!-.0-~]+/)*)([\w+=,.@-]{1,128})$`)
	profileNamePattern = lazyPattern(`^[\w+=,.@-]{1,128}$`)
)

// ServeHTTP answers one request.
func (i *IAM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const namespace = "https://iam.amazonaws.com/doc/2010-05-08/"
	i.serve(w, r, &dialect{
		service: "iam", version: "2010-05-08", serves: iamServes,
		actions: map[string]func(caller, string, url.Values) (any, *apiError){"GetInstanceProfile": i.getInstanceProfile},
		fault:   iamFault, denied: iamDenied, refused: func(e *apiError) *apiError { return e }, // the words are STS's
		answer: func(result any, action, requestID string) any {
			return struct {
				XMLName  xml.Name
				Result   namedXML
				Metadata requestMetadata `xml:"ResponseMetadata"`
			}{xml.Name{Space: namespace, Local: action + "Response"}, namedXML{action + "Result", result}, requestMetadata{requestID}}
		},
		failed: func(e *apiError, requestID string) answer { return renderError(e, false, requestID) },
	})
}

// iamHosts are IAM's endpoints, one in each partition, and the region that requests to it are
// signed for.
func iamHosts() map[string]string {
	return map[string]string{
		"iam.amazonaws.com":                  "us-east-1",
		"iam.global.api.aws":                 "us-east-1",
		"iam.cn-north-1.amazonaws.com.cn":    "cn-north-1",
		"iam.us-gov.amazonaws.com":           "us-gov-west-1",
		"iam.us-iso-east-1.c2s.ic.gov":       "us-iso-east-1",
		"iam.us-isob-east-1.sc2s.sgov.gov":   "us-isob-east-1",
		"iam.eu-isoe-west-1.cloud.adc-e.uk":  "eu-isoe-west-1",
		"iam.us-isof-south-1.csp.hci.ic.gov": "us-isof-south-1",
		"iam.eusc-de-east-1.amazonaws.eu":    "eusc-de-east-1",
	}
}

func (i *IAM) hasHost(name string) bool { return iamHosts()[name] != "" }

func iamServes(host, region string) bool {
	return region != "" && (isLoopback(host) || iamHosts()[hostname(host)] == region)
}

func (i *IAM) getInstanceProfile(c caller, _ string, params url.Values) (any, *apiError) {
	name := params.Get("InstanceProfileName")
	if !profileNamePattern().MatchString(name) {
		return nil, validationError(fmt.Sprintf("1 validation error detected: Value '%s' at 'instanceProfileName' failed to satisfy constraint: "+
			`Member must satisfy regular expression pattern: [\w+=,.@-]+`, name))
	}
	i.mu.RLock()
	p, ok := i.profiles[profileKey{c.partition, c.account, strings.ToLower(name)}]
	i.mu.RUnlock()
	if !ok {
		return nil, &apiError{http.StatusNotFound, "NoSuchEntity", "Instance Profile " + name + " cannot be found."}
	}
	return i.describe(p), nil
}

// describe reads the role anew, as it may have been recreated since.
func (i *IAM) describe(p instanceProfile) any {
	const created = "2026-01-02T03:04:05Z"
	type role struct {
		Path       string
		RoleName   string
		RoleID     string `xml:"RoleId"`
		ARN        string `xml:"Arn"`
		CreateDate string
		Policy     string `xml:"AssumeRolePolicyDocument"`
	}
	type roles struct {
		Members []role `xml:"member"`
	}
	type profile struct {
		Path       string
		Name       string `xml:"InstanceProfileName"`
		ID         string `xml:"InstanceProfileId"`
		ARN        string `xml:"Arn"`
		CreateDate string
		Roles      roles
	}
	described := profile{Path: p.path, Name: p.name, ID: profileID(p.arn), ARN: p.arn, CreateDate: created}
	if r, err := i.identities.find(p.roleARN); err == nil {
		_, path, _ := strings.Cut(r.arn, ":role")
		described.Roles.Members = []role{{
			Path: strings.TrimSuffix(path, r.name), RoleName: r.name, RoleID: r.id, ARN: r.arn, CreateDate: created,
			Policy: escape(r.role.trustPolicy()),
		}}
	}
	return struct {
		InstanceProfile profile
	}{described}
}

// trustPolicy returns the policy that says what [Role] says, and that EC2 may assume the role,
// as it must for an instance profile to be of use.
func (r Role) trustPolicy() string {
	type statement struct {
		Effect    string
		Principal map[string]any
		Action    string
	}
	statements := []statement{{"Allow", map[string]any{"Service": "ec2.amazonaws.com"}, "sts:AssumeRole"}}
	if len(r.TrustedPrincipals) > 0 {
		statements = append(statements, statement{"Allow", map[string]any{"AWS": r.TrustedPrincipals}, "sts:AssumeRole"})
	}
	return string(mustMarshal(json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})))
}

// profileID returns the unique ID of an instance profile, AIPA….
func profileID(arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return "AIPA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func iamFault(kind FaultKind) *apiError {
	switch kind {
	case FaultThrottle:
		return throttling()
	case FaultInternal:
		return &apiError{http.StatusInternalServerError, "ServiceFailure",
			"The request processing has failed because of an unknown error, exception or failure."}
	default:
		return nil
	}
}

func iamDenied(c caller, action string, params url.Values) *apiError {
	return accessDenied(fmt.Sprintf("User: %s is not authorized to perform: iam:%s on resource: instance profile %s because no identity-based policy allows the iam:%[2]s action",
		c.arn, action, params.Get("InstanceProfileName")))
}
