package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

const (
	entriesPath = "/apis/iam-authenticator.dev/v1alpha1/accessentries"

	contentJSON  = "application/json"
	contentMerge = "application/merge-patch+json"

	// workers is how many requests are under way at the same time: enough to keep the API server busy, and
	// less than the 100 that it lets share one connection.
	workers = 32
)

// api sends requests as the administrator, whose requests the API server takes in unlimited number, over one
// HTTP/2 connection.
type api struct {
	server string
	client *http.Client
}

func newAPI(kubeconfig string) (*api, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	return &api{config.Host, client}, nil
}

// send sends a body in JSON and decodes the answer's into answer, unless that is nil.
func (a *api) send(ctx context.Context, method, path, contentType string, body, answer any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, a.server+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err = io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, data)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(data, answer)
}

// create creates the entries from one number up to, and without, another.
func (a *api) create(ctx context.Context, from, to int) error {
	return inParallel(ctx, "created", from, to, func(ctx context.Context, i int) error {
		return a.send(ctx, http.MethodPost, entriesPath, contentJSON, newEntry(i), nil)
	})
}

// rename gives an entry another username.
func (a *api) rename(ctx context.Context, i int, username string) error {
	patch := map[string]any{"spec": map[string]any{"username": username}}
	return a.send(ctx, http.MethodPatch, entriesPath+"/"+entryName(i), contentMerge, patch, nil)
}

// list returns all entries.
func (a *api) list(ctx context.Context) ([]v1alpha1.AccessEntry, error) {
	var all []v1alpha1.AccessEntry
	query := url.Values{"limit": {"1000"}}
	for {
		var page v1alpha1.AccessEntryList
		if err := a.send(ctx, http.MethodGet, entriesPath+"?"+query.Encode(), contentJSON, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Continue == "" {
			return all, nil
		}
		query.Set("continue", page.Continue)
	}
}

// inParallel does something with each of the numbers and tells how far it is.
func inParallel(ctx context.Context, done string, from, to int, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var next, finished atomic.Int64
	for range workers {
		g.Go(func() error {
			for i := from + int(next.Add(1)) - 1; i < to; i = from + int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
				finished.Add(1)
			}
			return nil
		})
	}
	began := time.Now()
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				n := finished.Load()
				fmt.Fprintf(os.Stderr, "%s %d of %d, %.0f per second\n", done, n, to-from, float64(n)/time.Since(began).Seconds())
			}
		}
	}()
	defer close(ended)
	return g.Wait()
}
