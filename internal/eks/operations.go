package eks

import (
	"context"
	"fmt"
	"net/url"
)

// Cluster is what EKS knows of a cluster, as far as it serves to reach it.
type Cluster struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	// ID is that of a local cluster on an Outpost, whose tokens are for it and not for
	// the name. Other clusters have none.
	ID     string `json:"id"`
	Status string `json:"status"` // ACTIVE, CREATING, …
	// Endpoint is the URL of the API server. It is empty while the cluster is created.
	Endpoint             string `json:"endpoint"`
	CertificateAuthority struct {
		Data string `json:"data"` // PEM, in base64
	} `json:"certificateAuthority"`
	AccessConfig struct {
		AuthenticationMode string `json:"authenticationMode"` // API, API_AND_CONFIG_MAP, CONFIG_MAP
	} `json:"accessConfig"`
}

// AccessEntry is an access entry.
type AccessEntry struct {
	PrincipalARN string            `json:"principalArn"`
	ARN          string            `json:"accessEntryArn"`
	Type         string            `json:"type"` // STANDARD, EC2_LINUX, …
	Username     string            `json:"username"`
	Groups       []string          `json:"kubernetesGroups"`
	Tags         map[string]string `json:"tags"`
}

// AssociatedPolicy is an access policy that an access entry has.
type AssociatedPolicy struct {
	PolicyARN string      `json:"policyArn"`
	Scope     AccessScope `json:"accessScope"`
}

// AccessScope is where a policy holds.
type AccessScope struct {
	Type       string   `json:"type"` // cluster or namespace
	Namespaces []string `json:"namespaces"`
}

// DescribeCluster returns the cluster with the given name:
// https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html
func (c *Client) DescribeCluster(ctx context.Context, name string) (Cluster, error) {
	const operation = "DescribeCluster"
	var answer struct {
		Cluster Cluster `json:"cluster"`
	}
	if err := c.get(ctx, operation, []string{"clusters", name}, nil, &answer); err != nil {
		return Cluster{}, c.explain(err, operation, fmt.Sprintf("EKS cluster %q", name))
	}
	if answer.Cluster.Name != name {
		return Cluster{}, fmt.Errorf("EKS %s: the answer is about the cluster %q, want %q: is %s EKS?", operation, answer.Cluster.Name, name, c.endpoint)
	}
	return answer.Cluster, nil
}

// ListAccessEntries returns the ARNs of the principals that have access entries, from all
// pages:
// https://docs.aws.amazon.com/eks/latest/APIReference/API_ListAccessEntries.html
func (c *Client) ListAccessEntries(ctx context.Context, cluster string) ([]string, error) {
	const operation = "ListAccessEntries"
	var arns []string
	err := c.pages(ctx, operation, []string{"clusters", cluster, "access-entries"}, func() (out any, take func() string) {
		var page struct {
			AccessEntries []string `json:"accessEntries"`
			NextToken     string   `json:"nextToken"`
		}
		return &page, func() string {
			arns = append(arns, page.AccessEntries...)
			return page.NextToken
		}
	})
	if err != nil {
		return nil, c.explain(err, operation, fmt.Sprintf("EKS cluster %q", cluster))
	}
	return arns, nil
}

// DescribeAccessEntry returns the access entry of a principal:
// https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeAccessEntry.html
func (c *Client) DescribeAccessEntry(ctx context.Context, cluster, principalARN string) (AccessEntry, error) {
	const operation = "DescribeAccessEntry"
	var answer struct {
		AccessEntry AccessEntry `json:"accessEntry"`
	}
	if err := c.get(ctx, operation, []string{"clusters", cluster, "access-entries", principalARN}, nil, &answer); err != nil {
		return AccessEntry{}, c.explain(err, operation, fmt.Sprintf("access entry of %s in the EKS cluster %q", principalARN, cluster))
	}
	return answer.AccessEntry, nil
}

// ListAssociatedAccessPolicies returns the policies of a principal's access entry, from
// all pages:
// https://docs.aws.amazon.com/eks/latest/APIReference/API_ListAssociatedAccessPolicies.html
func (c *Client) ListAssociatedAccessPolicies(ctx context.Context, cluster, principalARN string) ([]AssociatedPolicy, error) {
	const operation = "ListAssociatedAccessPolicies"
	var policies []AssociatedPolicy
	path := []string{"clusters", cluster, "access-entries", principalARN, "access-policies"}
	err := c.pages(ctx, operation, path, func() (out any, take func() string) {
		var page struct {
			Policies  []AssociatedPolicy `json:"associatedAccessPolicies"`
			NextToken string             `json:"nextToken"`
		}
		return &page, func() string {
			policies = append(policies, page.Policies...)
			return page.NextToken
		}
	})
	if err != nil {
		return nil, c.explain(err, operation, fmt.Sprintf("access entry of %s in the EKS cluster %q", principalARN, cluster))
	}
	return policies, nil
}

// pages gets page after page. next returns where to decode one, and what takes it over
// then and returns the token of the next page, or "" after the last.
func (c *Client) pages(ctx context.Context, operation string, path []string, next func() (out any, take func() string)) error {
	query := url.Values{}
	for {
		out, take := next()
		if err := c.get(ctx, operation, path, query, out); err != nil {
			return err
		}
		token := take()
		switch token {
		case "":
			return nil
		case query.Get("nextToken"):
			return fmt.Errorf("EKS %s: the next page is the one just read: is %s EKS?", operation, c.endpoint)
		}
		query.Set("nextToken", token)
	}
}
