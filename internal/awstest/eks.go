package awstest

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EKS emulates the operations of Amazon EKS that read a cluster and its access entries,
// for the identities that an [STS] knows. It verifies signatures as that does, and is an
// [http.Handler]. A cluster is found in the account of the caller and in the region that
// the request is signed for; IAM policies are not looked at. The faults that damage STS's
// answers in STS's own ways have no effect.
//
// Paths, keys and error codes are those of
// https://docs.aws.amazon.com/eks/latest/APIReference/Welcome.html
type EKS struct {
	identities *STS
	faults
	record

	mu       sync.RWMutex
	clusters map[string]*EKSCluster // by ARN
}

// EKSCluster is a cluster of an [EKS].
type EKSCluster struct {
	ARN      string // "arn:aws:eks:REGION:ACCOUNT:cluster/NAME"
	ID       string // of a local cluster on an Outpost only
	Status   string // ACTIVE if empty
	Endpoint string
	CAPEM    []byte
	Entries  []EKSAccessEntry
}

// EKSAccessEntry is an access entry with its policies.
type EKSAccessEntry struct {
	PrincipalARN, Type, Username string
	Groups                       []string
	Policies                     []EKSAccessPolicy
}

// EKSAccessPolicy is an associated access policy.
type EKSAccessPolicy struct {
	PolicyARN  string
	Namespaces []string // empty: the scope is the cluster
}

// NewEKS returns an EKS without clusters.
func NewEKS(identities *STS) *EKS {
	return &EKS{identities: identities, clusters: make(map[string]*EKSCluster)}
}

// SetCluster creates or replaces a cluster.
func (e *EKS) SetCluster(c EKSCluster) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clusters[c.ARN] = &c
}

// maxResults is how many results a page has at most, and if the request doesn't say.
const maxResults = 100

// ServeHTTP answers one request.
func (e *EKS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newRequestID()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	operation, labels := eksOperation(r)
	e.add(r, operation, nil)
	fault, faulty := e.take(operation)
	if faulty && !fault.wait(r.Context()) {
		panic(http.ErrAbortHandler)
	}

	var aerr *apiError
	var result any
	switch fault.Kind {
	case FaultThrottle:
		aerr = &apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"}
	case FaultInternal:
		aerr = &apiError{http.StatusInternalServerError, "ServerException", "Internal server error"}
	case FaultUnavailable:
		aerr = &apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service is unavailable"}
	default:
		if faulty && fault.replace(w, r, true, requestID) {
			return
		}
		result, aerr = e.handle(r, operation, labels, body)
	}
	if aerr != nil {
		// The real code comes with a URL behind it, which clients must cut off.
		w.Header().Set("X-Amzn-Errortype", aerr.code+":http://internal.amazon.com/coral/com.amazonaws.eks/")
		answer{aerr.status, jsonType, requestID, mustMarshal(json.Marshal(map[string]any{"message": aerr.message}))}.write(w)
		return
	}
	fault.deliver(w, answer{http.StatusOK, jsonType, requestID, mustMarshal(json.Marshal(result))})
}

// eksOperation returns which operation a method and path are, and the labels in the path.
func eksOperation(r *http.Request) (operation string, labels []string) {
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i, s := range segments {
		s, err := url.PathUnescape(s)
		if err != nil || s == "" {
			return "", nil
		}
		segments[i] = s
	}
	if r.Method != http.MethodGet || segments[0] != "clusters" {
		return "", nil
	}
	switch n := len(segments); {
	case n == 2:
		return "DescribeCluster", []string{segments[1]}
	case n == 3 && segments[2] == "access-entries":
		return "ListAccessEntries", []string{segments[1]}
	case n == 4 && segments[2] == "access-entries":
		return "DescribeAccessEntry", []string{segments[1], segments[3]}
	case n == 5 && segments[2] == "access-entries" && segments[4] == "access-policies":
		return "ListAssociatedAccessPolicies", []string{segments[1], segments[3]}
	}
	return "", nil
}

func (e *EKS) handle(r *http.Request, operation string, labels []string, body []byte) (any, *apiError) {
	if operation == "" {
		return nil, &apiError{http.StatusNotFound, "UnknownOperationException", "Unknown operation."}
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &apiError{http.StatusBadRequest, "InvalidParameterException", err.Error()}
	}
	caller, region, aerr := e.authenticate(r, query, body)
	if aerr != nil {
		return nil, aerr
	}

	e.mu.RLock()
	defer e.mu.RUnlock()
	name := labels[0]
	cluster, ok := e.clusters["arn:"+caller.partition+":eks:"+region+":"+caller.account+":cluster/"+name]
	if !ok {
		return nil, &apiError{http.StatusNotFound, "ResourceNotFoundException", "No cluster found for name: " + name + "."}
	}
	switch operation {
	case "DescribeCluster":
		return cluster.describe(name), nil
	case "ListAccessEntries":
		arns := make([]any, len(cluster.Entries))
		for i, entry := range cluster.Entries {
			arns[i] = entry.PrincipalARN
		}
		return eksPage("accessEntries", arns, query)
	}
	i := slices.IndexFunc(cluster.Entries, func(entry EKSAccessEntry) bool { return entry.PrincipalARN == labels[1] })
	if i < 0 {
		return nil, &apiError{http.StatusNotFound, "ResourceNotFoundException",
			"The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'."}
	}
	entry := cluster.Entries[i]
	if operation == "DescribeAccessEntry" {
		return map[string]any{"accessEntry": entry.describe(name)}, nil
	}
	policies := make([]any, len(entry.Policies))
	for i, p := range entry.Policies {
		policies[i] = p.describe()
	}
	return eksPage("associatedAccessPolicies", policies, query)
}

func (c *EKSCluster) describe(name string) any {
	cluster := map[string]any{
		"name": name, "arn": c.ARN, "status": cmp.Or(c.Status, "ACTIVE"), "version": "1.35",
		"createdAt":            eksTime(),
		"certificateAuthority": map[string]any{},
		"accessConfig":         map[string]any{"authenticationMode": "API_AND_CONFIG_MAP"},
	}
	if c.Endpoint != "" { // not while it is created
		cluster["endpoint"] = c.Endpoint
		cluster["certificateAuthority"] = map[string]any{"data": c.CAPEM} // []byte is base64 in JSON
	}
	if c.ID != "" {
		cluster["id"] = c.ID
	}
	return map[string]any{"cluster": cluster}
}

func (a EKSAccessEntry) describe(cluster string) any {
	return map[string]any{
		"clusterName": cluster, "principalArn": a.PrincipalARN, "type": cmp.Or(a.Type, "STANDARD"),
		"username": cmp.Or(a.Username, a.PrincipalARN), "kubernetesGroups": append([]string{}, a.Groups...),
		"tags": map[string]string{}, "createdAt": eksTime(), "modifiedAt": eksTime(),
	}
}

func (p EKSAccessPolicy) describe() any {
	scope := map[string]any{"type": "cluster", "namespaces": []string{}}
	if len(p.Namespaces) > 0 {
		scope = map[string]any{"type": "namespace", "namespaces": p.Namespaces}
	}
	return map[string]any{"policyArn": p.PolicyARN, "accessScope": scope, "associatedAt": eksTime(), "modifiedAt": eksTime()}
}

// eksTime is some time in the form that EKS gives times: seconds since 1970.
func eksTime() float64 { return float64(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Unix()) + 0.678 }

// eksPage returns the page of the results that the query asks for.
func eksPage(key string, all []any, query []pair) (any, *apiError) {
	start, size := 0, maxResults
	for _, p := range query {
		n, err := strconv.Atoi(p.value)
		switch {
		case p.name == "nextToken" && err == nil && n >= 0 && n <= len(all):
			start = n
		case p.name == "maxResults" && err == nil && n >= 1 && n <= maxResults:
			size = n
		default:
			return nil, &apiError{http.StatusBadRequest, "InvalidParameterException", "Invalid " + p.name + "."}
		}
	}
	end := min(start+size, len(all))
	page := map[string]any{key: all[start:end]}
	if end < len(all) {
		page["nextToken"] = strconv.Itoa(end)
	}
	return page, nil
}

// authenticate verifies the request's signature, and returns whose key made it and the
// region it is for.
func (e *EKS) authenticate(r *http.Request, query []pair, body []byte) (caller, string, *apiError) {
	c, region, err := e.identities.verify(r, query, body, "eks", eksServes)
	if err == nil {
		return c, region, nil
	}
	// The same errors have other names than in STS.
	if code, ok := map[string]string{
		"MissingAuthenticationToken": "MissingAuthenticationTokenException",
		"IncompleteSignature":        "IncompleteSignatureException",
		"SignatureDoesNotMatch":      "InvalidSignatureException",
		"InvalidClientTokenId":       "UnrecognizedClientException",
		"ExpiredToken":               "ExpiredTokenException",
	}[err.code]; ok {
		err = &apiError{err.status, code, err.message}
	}
	return caller{}, "", err
}

// eksServes reports whether a request to a host may be signed for the region, which is a
// label of all of EKS's hosts.
func eksServes(host, region string) bool {
	return isLoopback(host) || slices.Contains(strings.Split(hostname(host), "."), region)
}
