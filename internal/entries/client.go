package entries

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	kjson "sigs.k8s.io/json"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const (
	resource = "accessentries"
	kind     = "AccessEntry"
	// manager is the field manager of what is written.
	manager = "authenticator-cli"
	// pageSize is how many entries one request asks for: kubectl's size.
	pageSize = 500
	// requestTimeout bounds a request, unless the configuration does.
	requestTimeout = 30 * time.Second
	// maxAttempts bounds how often a change is made again because somebody else was
	// faster. The time between two attempts begins with minPause and doubles up to
	// maxPause.
	maxAttempts = 10
	minPause    = 10 * time.Millisecond
	maxPause    = time.Second
)

// DryRun says what a Client writes.
type DryRun string

// The dry runs, as kubectl's.
const (
	DryRunNone   DryRun = "none"   // it writes
	DryRunClient DryRun = "client" // nothing is sent that would be written
	DryRunServer DryRun = "server" // it is sent, checked, and not stored
)

// Options are the options of a Client.
type Options struct {
	// Config leads to the API server.
	Config *rest.Config
	// DryRun says what is written. Empty: DryRunNone.
	DryRun DryRun
	// Warn is told of what is odd and hinders nothing. Nil: nobody is.
	Warn func(warning string)
}

// Client manages the entries of a cluster.
type Client struct {
	rest   rest.Interface
	dryRun DryRun
	warn   func(string)
}

// New returns a client. It asks nothing yet.
func New(o Options) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(o.Config)
	config.APIPath = "/apis"
	config.GroupVersion = new(v1alpha1.SchemeGroupVersion)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.QPS = -1 // one request at a time, of which a large cluster needs hundreds
	config.Timeout = cmp.Or(config.Timeout, requestTimeout)
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	client := &Client{rest: c, dryRun: o.DryRun, warn: o.Warn}
	if client.warn == nil {
		client.warn = func(string) {}
	}
	return client, nil
}

// List calls each with all entries, in pages in the order of their names. An error
// of each ends it.
func (c *Client) List(ctx context.Context, each func([]v1alpha1.AccessEntry) error) error {
	options := metav1.ListOptions{Limit: pageSize}
	for resumed := false; ; {
		result := c.rest.Get().Resource(resource).VersionedParams(&options, metav1.ParameterCodec).Do(ctx)
		if err := result.Error(); err != nil {
			// The version that the list began with is gone after some minutes. The API
			// server says where to go on, with what is there now.
			status, ok := errors.AsType[*apierrors.StatusError](err)
			if ok && apierrors.IsResourceExpired(err) && status.ErrStatus.Continue != "" && !resumed {
				options.Continue, resumed = status.ErrStatus.Continue, true
				continue
			}
			return fmt.Errorf("list access entries: %w", explainList(err))
		}
		data, _ := result.Raw()
		page, next, err := c.decodePage(data)
		if err != nil {
			return fmt.Errorf("list access entries: %w", err)
		}
		if err := each(page); err != nil || next == "" {
			return err
		}
		options.Continue, resumed = next, false
	}
}

// decodePage decodes a list. Entries that can't be decoded are left out: one of them
// must not hide all others.
func (c *Client) decodePage(data []byte) (page []v1alpha1.AccessEntry, next string, err error) {
	var list struct {
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &list); err != nil {
		return nil, "", err
	}
	page = make([]v1alpha1.AccessEntry, 0, len(list.Items))
	for _, item := range list.Items {
		var e v1alpha1.AccessEntry
		if err := kjson.UnmarshalCaseSensitivePreserveInts(item, &e); err != nil {
			var named metav1.PartialObjectMetadata
			_ = json.Unmarshal(item, &named)
			c.warn(fmt.Sprintf("%s can't be read and is left out: %v", qualified(named.Name), err))
			continue
		}
		page = append(page, *cleaned(&e))
	}
	return page, list.Metadata.Continue, nil
}

// Get returns the entry of a principal. If there are several, it is the one that
// stands.
func (c *Client) Get(ctx context.Context, arn string) (*v1alpha1.AccessEntry, error) {
	found, err := c.find(ctx, arn)
	if err != nil {
		return nil, err
	}
	c.warnOfOthers(found)
	return &found[0], nil
}

// find returns all entries for a principal, at least one. The first is the one that
// stands. It looks at all there are: names tell nothing.
func (c *Client) find(ctx context.Context, arn string) ([]v1alpha1.AccessEntry, error) {
	principal, err := parsePrincipal(arn)
	if err != nil {
		return nil, err
	}
	var found []v1alpha1.AccessEntry
	if err := c.List(ctx, func(page []v1alpha1.AccessEntry) error {
		for _, e := range page {
			if isFor(&e, principal) {
				found = append(found, e)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, notFoundError{arn}
	}
	slices.SortFunc(found, compareAge)
	return found, nil
}

// compareAge puts the entry first that stands, as the server does: the older, but a
// bad one only if there is no good one.
func compareAge(a, b v1alpha1.AccessEntry) int {
	bad := func(e *v1alpha1.AccessEntry) int { return min(len(e.Validate()), 1) }
	return cmp.Or(
		cmp.Compare(bad(&a), bad(&b)),
		cmp.Compare(a.CreationTimestamp.Unix(), b.CreationTimestamp.Unix()),
		strings.Compare(a.Name, b.Name),
	)
}

func (c *Client) warnOfOthers(found []v1alpha1.AccessEntry) {
	for _, e := range found[1:] {
		c.warn(fmt.Sprintf("%s is for the same principal as %s, which stands instead", qualified(e.Name), qualified(found[0].Name)))
	}
}

// Create creates an entry under the name that its principal has.
func (c *Client) Create(ctx context.Context, e *v1alpha1.AccessEntry) (*v1alpha1.AccessEntry, error) {
	if err := Validate(e); err != nil {
		return nil, err
	}
	switch found, err := c.find(ctx, e.Spec.PrincipalARN); {
	case err == nil:
		return nil, inUse(&found[0])
	case !errors.As(err, new(notFoundError)):
		return nil, err
	}
	return c.Add(ctx, e)
}

// Add is Create for those who know from List that no entry is for the principal.
func (c *Client) Add(ctx context.Context, e *v1alpha1.AccessEntry) (*v1alpha1.AccessEntry, error) {
	if err := Validate(e); err != nil {
		return nil, err
	}
	created := &v1alpha1.AccessEntry{}
	err := c.rest.Post().Resource(resource).
		VersionedParams(&metav1.CreateOptions{DryRun: c.serverDryRun(), FieldManager: manager, FieldValidation: metav1.FieldValidationStrict}, metav1.ParameterCodec).
		Body(e).Do(ctx).Into(created)
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil, c.nameTaken(ctx, e)
	case err != nil:
		return nil, fmt.Errorf("create %s: %w", qualified(e.Name), explain(err, "create"))
	}
	return cleaned(created), nil
}

// nameTaken tells why the name of an entry was there already.
func (c *Client) nameTaken(ctx context.Context, e *v1alpha1.AccessEntry) error {
	other, err := c.get(ctx, e.Name)
	if err != nil {
		return err
	}
	principal, err := parsePrincipal(e.Spec.PrincipalARN)
	if err != nil {
		return err
	}
	if isFor(other, principal) {
		return inUse(other)
	}
	return fmt.Errorf("the name of the entry is taken by one for another principal, %s; create it under another name with --dry-run=client -o yaml and kubectl, or delete %s",
		other.Spec.PrincipalARN, qualified(e.Name))
}

// Update changes the entry of a principal, again if somebody else changed it
// meanwhile: change may be called several times, each time with an entry as it is
// then. An entry that change leaves as it is is not written.
func (c *Client) Update(ctx context.Context, arn string, change func(*v1alpha1.AccessEntry) error) (e *v1alpha1.AccessEntry, changed bool, err error) {
	found, err := c.find(ctx, arn)
	if err != nil {
		return nil, false, err
	}
	c.warnOfOthers(found)
	return c.UpdateObject(ctx, found[0].Name, arn, change)
}

// UpdateObject is Update for those who know from List which object is to be changed.
func (c *Client) UpdateObject(ctx context.Context, name, arn string, change func(*v1alpha1.AccessEntry) error) (e *v1alpha1.AccessEntry, changed bool, err error) {
	principal, err := parsePrincipal(arn)
	if err != nil {
		return nil, false, err
	}
	pause := minPause
	for attempt := 1; ; attempt++ {
		e, changed, err := c.update(ctx, name, principal, change)
		switch {
		case apierrors.IsNotFound(err):
			return nil, false, notFoundError{arn}
		case !apierrors.IsConflict(err):
			return e, changed, err
		case attempt == maxAttempts:
			return nil, false, fmt.Errorf("somebody else changed it each time, %d times: %w", attempt, err)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, false, err
		}
		pause = min(2*pause, maxPause)
	}
}

// update is one attempt of Update.
func (c *Client) update(ctx context.Context, name string, principal iam.Principal, change func(*v1alpha1.AccessEntry) error) (*v1alpha1.AccessEntry, bool, error) {
	old, err := c.get(ctx, name)
	if err != nil {
		return nil, false, err
	}
	if !isFor(old, principal) { // deleted, and created again for another
		return nil, false, notFoundError{principal.Canonical()}
	}
	e := old.DeepCopy()
	if err := change(e); err != nil {
		return nil, false, err
	}
	if reflect.DeepEqual(e.Spec, old.Spec) {
		return old, false, nil
	}
	if err := e.ValidateUpdate(old).ToAggregate(); err != nil {
		return nil, false, InvalidError{err}
	}
	if c.dryRun == DryRunClient {
		return e, true, nil
	}
	updated := &v1alpha1.AccessEntry{}
	if err := c.rest.Put().Resource(resource).Name(name).
		VersionedParams(&metav1.UpdateOptions{DryRun: c.serverDryRun(), FieldManager: manager, FieldValidation: metav1.FieldValidationStrict}, metav1.ParameterCodec).
		Body(e).Do(ctx).Into(updated); err != nil {
		return nil, false, fmt.Errorf("update %s: %w", qualified(name), explain(err, "update"))
	}
	return cleaned(updated), true, nil
}

// get reads one object. A field of the spec that is not known is an error: it would
// be lost when the entry is written, and may restrict who gets in.
func (c *Client) get(ctx context.Context, name string) (*v1alpha1.AccessEntry, error) {
	result := c.rest.Get().Resource(resource).Name(name).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, fmt.Errorf("get %s: %w", qualified(name), explain(err, "get"))
	}
	data, _ := result.Raw()
	e := &v1alpha1.AccessEntry{}
	unknown, err := kjson.UnmarshalStrict(data, e)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return nil, fmt.Errorf("%s has what this version does not know, use a newer one: %w", qualified(name), err)
	}
	return cleaned(e), nil
}

// Delete deletes every entry for a principal, so that none of them lets it in, and
// returns those that are gone, also with an error.
func (c *Client) Delete(ctx context.Context, arn string) (gone []v1alpha1.AccessEntry, err error) {
	found, err := c.find(ctx, arn)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(found) { // the one that stands last: meanwhile no other takes its place
		// Who deletes an entry means the one that was found.
		if err := c.delete(ctx, e.Name, metav1.Preconditions{UID: &e.UID}); err != nil {
			return gone, err
		}
		gone = append(gone, e)
	}
	return gone, nil
}

// DeleteUnchanged deletes one entry, if nobody changed its spec or its labels since it
// was seen. One that is gone already is no error.
func (c *Client) DeleteUnchanged(ctx context.Context, seen *v1alpha1.AccessEntry) error {
	pause := minPause
	for attempt := 1; ; attempt++ {
		now, err := c.get(ctx, seen.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case now.UID != seen.UID || now.Generation != seen.Generation || !maps.Equal(now.Labels, seen.Labels):
			return fmt.Errorf("%s was changed meanwhile, and stays as it is", qualified(seen.Name))
		}
		// With the version, the API server refuses if somebody is faster now, be it the
		// server with a new status.
		err = c.delete(ctx, now.Name, metav1.Preconditions{UID: &now.UID, ResourceVersion: &now.ResourceVersion})
		if !apierrors.IsConflict(err) || attempt == maxAttempts {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

func (c *Client) delete(ctx context.Context, name string, is metav1.Preconditions) error {
	if c.dryRun == DryRunClient {
		return nil
	}
	err := c.rest.Delete().Resource(resource).Name(name).
		Body(&metav1.DeleteOptions{DryRun: c.serverDryRun(), Preconditions: &is}).
		Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", qualified(name), explain(err, "get and delete"))
	}
	return nil
}

func (c *Client) serverDryRun() []string {
	if c.dryRun == DryRunServer {
		return []string{metav1.DryRunAll}
	}
	return nil
}

// Wait waits until the server says that an entry is in force. It is an error if the
// server says that it is not, or nothing until the context ends. Progress is told of
// every five seconds. It returns the entry as it is at the end, also with an error.
func (c *Client) Wait(ctx context.Context, e *v1alpha1.AccessEntry, progress func(string)) (*v1alpha1.AccessEntry, error) {
	const interval, between = 250 * time.Millisecond, 5 * time.Second
	start := time.Now()
	told := start.Add(-between)
	for {
		// What can't be read now may be readable at the next attempt.
		now, err := c.get(ctx, e.Name)
		if apierrors.IsNotFound(err) || err == nil && now.UID != e.UID {
			return e, fmt.Errorf("%s was deleted before it was accepted", qualified(e.Name))
		}
		if err == nil {
			switch accepted, known := Accepted(now); {
			case known && accepted.Status == metav1.ConditionTrue:
				return now, nil
			case known:
				return now, fmt.Errorf("%s was created, and is not in force (%s): %s", qualified(e.Name), accepted.Reason, accepted.Message)
			}
		}
		if time.Since(told) >= between && ctx.Err() == nil {
			told = time.Now()
			progress(fmt.Sprintf("Waiting for the server to accept %s (%s)…", qualified(e.Name), time.Since(start).Round(time.Second)))
		}
		if ended := sleep(ctx, interval); ended != nil {
			return e, fmt.Errorf("%s was created, and no server said within %s whether it is in force (%w): see that one runs with access entries, and that it may patch accessentries/status",
				qualified(e.Name), time.Since(start).Round(time.Second), cmp.Or(err, ended))
		}
	}
}

// Accepted returns the condition that tells whether the entry, as it is now, is in
// force. It is not known before a server has read it.
func Accepted(e *v1alpha1.AccessEntry) (condition metav1.Condition, known bool) {
	for _, c := range e.Status.Conditions {
		if c.Type == v1alpha1.ConditionAccepted && c.ObservedGeneration == e.Generation {
			return c, true
		}
	}
	return metav1.Condition{}, false
}

// NewEntry returns an entry of a spec under the name that its principal has. The
// error is an InvalidError.
func NewEntry(spec v1alpha1.AccessEntrySpec) (*v1alpha1.AccessEntry, error) {
	spec.Type = cmp.Or(spec.Type, v1alpha1.Standard)
	e := cleaned(&v1alpha1.AccessEntry{Spec: spec})
	if err := Validate(e); err != nil {
		return nil, err
	}
	principal, err := iam.ParsePrincipal(spec.PrincipalARN)
	e.Name = Name(principal)
	return e, err
}

// isFor tells whether an entry names the principal, with whatever path.
func isFor(e *v1alpha1.AccessEntry, principal iam.Principal) bool {
	p, err := iam.ParsePrincipal(e.Spec.PrincipalARN)
	return err == nil && p.Same(principal)
}

// parsePrincipal parses the ARN of a principal that can have an entry.
func parsePrincipal(arn string) (iam.Principal, error) {
	if err := Validate(&v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: arn}}); err != nil {
		return iam.Principal{}, err
	}
	return iam.ParsePrincipal(arn)
}

// Partition returns the partition of a principal that can have an entry.
func Partition(principalARN string) (string, error) {
	p, err := parsePrincipal(principalARN)
	return p.Partition, err
}

// cleaned completes an entry by its kind, and takes from it what only the API server
// reads.
func cleaned(e *v1alpha1.AccessEntry) *v1alpha1.AccessEntry {
	e.APIVersion, e.Kind = v1alpha1.SchemeGroupVersion.String(), kind
	e.ManagedFields = nil
	return e
}

// qualified returns a name as kubectl prints it.
func qualified(name string) string { return "accessentry." + v1alpha1.GroupName + "/" + name }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
