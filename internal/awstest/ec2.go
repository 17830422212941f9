package awstest

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// EC2 emulates DescribeInstances of Amazon EC2 for the identities that an [STS] knows. It
// verifies signatures as that does, and is an [http.Handler]. A caller sees the instances
// of its own account in the region that the request is signed for; IAM policies are not
// looked at, but FaultDenied is. Filters are refused, and answers are not paged.
//
// Parameters, elements and error codes are those of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
type EC2 struct {
	query

	mu        sync.RWMutex
	instances map[instanceKey]Instance
}

// Instance is an instance of an [EC2].
type Instance struct {
	ID      string // "i-0123456789abcdef0"
	Account string // the owner's
	Region  string

	// PrivateDNSName is answered as it is, whether that is a name or not, but not for a
	// terminated instance: that has none any more.
	PrivateDNSName string
	// ProfileARN is that of an [InstanceProfile]; empty if the instance has none.
	ProfileARN string
	// State is pending, running, shutting-down, terminated, stopping or stopped; running if
	// empty.
	State string
}

type instanceKey struct{ account, region, id string }

// NewEC2 returns an EC2 without instances.
func NewEC2(identities *STS) *EC2 {
	return &EC2{query: query{identities: identities}, instances: make(map[instanceKey]Instance)}
}

// SetInstance launches an instance, or replaces the one with that ID.
func (e *EC2) SetInstance(i Instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances[instanceKey{i.Account, i.Region, i.ID}] = i
}

// RemoveInstance makes EC2 forget an instance, as it does some time after it was terminated.
func (e *EC2) RemoveInstance(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range e.instances {
		if key.id == id {
			delete(e.instances, key)
		}
	}
}

// InstanceIDs returns the instances that a request names, in its order.
func (r Request) InstanceIDs() []string {
	var ids []string
	for n := 1; r.Params.Has("InstanceId." + strconv.Itoa(n)); n++ {
		ids = append(ids, r.Params.Get("InstanceId."+strconv.Itoa(n)))
	}
	return ids
}

// ServeHTTP answers one request.
func (e *EC2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.serve(w, r, &dialect{
		service: "ec2", version: "2016-11-15", serves: e.serves,
		actions: map[string]func(caller, string, url.Values) (any, *apiError){"DescribeInstances": e.describeInstances},
		fault:   ec2Fault, denied: ec2Denied, refused: ec2Refused,
		answer: func(result any, action, requestID string) any {
			return struct {
				XMLName   xml.Name
				RequestID string `xml:"requestId"`
				Result    any
			}{xml.Name{Space: "http://ec2.amazonaws.com/doc/2016-11-15/", Local: action + "Response"}, requestID, result}
		},
		failed: ec2Failed,
	})
}

// region returns the region that a host name of EC2 serves. They are those of STS, but for
// the first label.
func (e *EC2) region(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "ec2")
	if !ok {
		return "", false
	}
	return e.identities.hosts.region("sts" + rest)
}

func (e *EC2) hasHost(name string) bool {
	_, ok := e.region(name)
	return ok
}

func (e *EC2) serves(host, region string) bool {
	if isLoopback(host) {
		return region != ""
	}
	r, ok := e.region(hostname(host))
	return ok && r == region
}

// describeInstances answers all or nothing of the IDs asked for. All IDs are checked for
// their form before any is looked for, and either error names all that are wrong.
func (e *EC2) describeInstances(c caller, region string, params url.Values) (any, *apiError) {
	ids := Request{Params: params}.InstanceIDs()
	if err := checkDescribeInstances(params, ids); err != nil {
		return nil, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	var found []Instance
	var missing []string
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if i, ok := e.instances[instanceKey{c.account, region, id}]; ok {
			found = append(found, i)
		} else {
			missing = append(missing, id)
		}
	}
	switch len(missing) {
	case 0:
	case 1:
		return nil, ec2Error("InvalidInstanceID.NotFound", "The instance ID '"+missing[0]+"' does not exist")
	default:
		return nil, ec2Error("InvalidInstanceID.NotFound", "The instance IDs '"+strings.Join(missing, ", ")+"' do not exist")
	}
	if len(ids) == 0 {
		for key, i := range e.instances {
			if key.account == c.account && key.region == region {
				found = append(found, i)
			}
		}
		slices.SortFunc(found, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	}
	return describeReservations(found), nil
}

func checkDescribeInstances(params url.Values, ids []string) *apiError {
	for name := range params {
		switch {
		case name == "Action", name == "Version", name == "MaxResults", strings.HasPrefix(name, "X-Amz-"), strings.HasPrefix(name, "InstanceId."):
		default:
			return ec2Error("UnknownParameter", "The parameter "+name+" is not recognized")
		}
	}
	if v := params.Get("MaxResults"); v != "" {
		n, err := strconv.Atoi(v)
		switch {
		case len(ids) > 0:
			return ec2Error("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
		case err != nil || n < 5 || n > 1000:
			return ec2Error("InvalidParameterValue", "Value ( "+v+" ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.")
		}
	}
	var malformed []string
	for _, id := range ids {
		if !instanceIDPattern().MatchString(id) {
			malformed = append(malformed, id)
		}
	}
	switch len(malformed) {
	case 0:
		return nil
	case 1:
		return ec2Error("InvalidInstanceID.Malformed", `Invalid id: "`+malformed[0]+`"`)
	}
	return ec2Error("InvalidInstanceID.Malformed", `Invalid ids: "`+strings.Join(malformed, ", ")+`"`)
}

var instanceIDPattern = lazyPattern(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// describeReservations puts each instance into a reservation of its own, as of instances
// that were launched one by one.
func describeReservations(instances []Instance) any {
	type state struct {
		Code int    `xml:"code"`
		Name string `xml:"name"`
	}
	type profile struct {
		ARN string `xml:"arn"`
		ID  string `xml:"id"`
	}
	type placement struct {
		AvailabilityZone string `xml:"availabilityZone"`
		GroupName        string `xml:"groupName"`
		Tenancy          string `xml:"tenancy"`
	}
	type instance struct {
		ID             string    `xml:"instanceId"`
		ImageID        string    `xml:"imageId"`
		State          state     `xml:"instanceState"`
		PrivateDNSName string    `xml:"privateDnsName"` // there, and empty, if there is none
		DNSName        string    `xml:"dnsName"`
		Type           string    `xml:"instanceType"`
		LaunchTime     string    `xml:"launchTime"`
		Placement      placement `xml:"placement"`
		Profile        *profile  `xml:"iamInstanceProfile"`
	}
	type reservation struct {
		ID        string     `xml:"reservationId"`
		OwnerID   string     `xml:"ownerId"`
		Groups    struct{}   `xml:"groupSet"`
		Instances []instance `xml:"instancesSet>item"`
	}
	set := struct {
		XMLName      xml.Name      `xml:"reservationSet"`
		Reservations []reservation `xml:"item"`
	}{}
	for _, i := range instances {
		described := instance{
			ID: i.ID, ImageID: "ami-0123456789abcdef0", Type: "m7g.large", LaunchTime: "2026-01-02T03:04:05.000Z",
			State:          state{Name: cmp.Or(i.State, "running")},
			PrivateDNSName: i.PrivateDNSName,
			Placement:      placement{AvailabilityZone: i.Region + "a", Tenancy: "default"},
		}
		described.State.Code = map[string]int{
			"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
		}[described.State.Name]
		if described.State.Name == "terminated" {
			described.PrivateDNSName = ""
		}
		if i.ProfileARN != "" {
			described.Profile = &profile{i.ProfileARN, profileID(i.ProfileARN)}
		}
		set.Reservations = append(set.Reservations, reservation{
			ID: "r-" + strings.TrimPrefix(i.ID, "i-"), OwnerID: i.Account, Instances: []instance{described},
		})
	}
	return set
}

func ec2Error(code, message string) *apiError { return &apiError{http.StatusBadRequest, code, message} }

func ec2Fault(kind FaultKind) *apiError {
	switch kind {
	case FaultThrottle:
		return &apiError{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
	case FaultInternal:
		return &apiError{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}
	case FaultUnavailable:
		return &apiError{http.StatusServiceUnavailable, "Unavailable", "The server is overloaded and can't handle the request."}
	default:
		return nil
	}
}

func ec2Denied(c caller, action string, _ url.Values) *apiError {
	return &apiError{http.StatusForbidden, "UnauthorizedOperation", fmt.Sprintf(
		"You are not authorized to perform this operation. User: %s is not authorized to perform: ec2:%s because no identity-based policy allows the ec2:%[2]s action", c.arn, action)}
}

func ec2Refused(e *apiError) *apiError {
	switch e.code {
	case "ExpiredToken":
		return ec2Error("RequestExpired", "Request has expired.")
	case "SignatureDoesNotMatch", "InvalidClientTokenId", "IncompleteSignature":
		return &apiError{http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"}
	}
	return e
}

func ec2Failed(e *apiError, requestID string) answer {
	type item struct{ Code, Message string }
	text := mustMarshal(xml.Marshal(struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []item   `xml:"Errors>Error"`
		RequestID string
	}{Errors: []item{{e.code, e.message}}, RequestID: requestID}))
	return answer{e.status, "text/xml;charset=UTF-8", requestID, append([]byte(xml.Header), text...)}
}
