package token

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/logincreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/gofrs/flock"
)

const (
	cacheFormat  = "authenticator credential cache"
	cacheVersion = 1
	// cacheMargin is how long before their expiry credentials are used no more.
	cacheMargin = time.Minute
	// maxCacheEntries and maxCacheSize, in bytes, bound the file.
	maxCacheEntries = 100
	maxCacheSize    = 1 << 20
	// cacheLockTimeout is how long to wait for another process that writes.
	cacheLockTimeout = 2 * time.Second
)

// DefaultCacheFile returns the path of the credential cache: the environment
// variable AWS_IAM_AUTHENTICATOR_CACHE_FILE, or
// ~/.kube/cache/authenticator/credentials.json.
func DefaultCacheFile() (string, error) {
	if path := os.Getenv("AWS_IAM_AUTHENTICATOR_CACHE_FILE"); path != "" {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".kube", "cache", "authenticator", "credentials.json"), nil
}

// credentialCache is a JSON file of credentials that expire. It is read without
// a lock, as it is only ever replaced whole. It can fail in no way that matters:
// then there is a warning, and the credentials are got anew.
type credentialCache struct {
	path string
	now  func() time.Time
	warn func(string)
}

type cacheContent struct {
	Format  string                `json:"format"`
	Version int                   `json:"version"`
	Entries map[string]cacheEntry `json:"entries"`
}

type cacheEntry struct {
	AccessKeyID     string    `json:"accessKeyID"`
	SecretAccessKey string    `json:"secretAccessKey"`
	SessionToken    string    `json:"sessionToken"`
	Expiration      time.Time `json:"expiration"`
}

// errNotOurs marks a file that is never written to.
var errNotOurs = errors.New("it is left as it is")

func openCache(opts GenerateOptions) (*credentialCache, error) {
	path := opts.CacheFile
	if path == "" {
		var err error
		if path, err = DefaultCacheFile(); err != nil {
			return nil, err
		}
	}
	return &credentialCache{path: path, now: opts.Now, warn: opts.Warn}, nil
}

func (c *credentialCache) get(key string) (aws.Credentials, bool) {
	content, err := c.read()
	if err != nil {
		c.warn(fmt.Sprintf("credential cache %s is ignored: %v", c.path, err))
		return aws.Credentials{}, false
	}
	entry, ok := content.Entries[key]
	if !ok || !c.usable(entry) {
		return aws.Credentials{}, false
	}
	return aws.Credentials{
		AccessKeyID:     entry.AccessKeyID,
		SecretAccessKey: entry.SecretAccessKey,
		SessionToken:    entry.SessionToken,
		CanExpire:       true,
		Expires:         entry.Expiration,
		Source:          "cache",
	}, true
}

func (c *credentialCache) usable(e cacheEntry) bool {
	return e.AccessKeyID != "" && e.SecretAccessKey != "" && e.Expiration.Sub(c.now()) > cacheMargin
}

// put adds credentials to the file if they expire, and drops what has expired.
func (c *credentialCache) put(ctx context.Context, key string, creds aws.Credentials) {
	entry := cacheEntry{
		AccessKeyID:     creds.AccessKeyID,
		SecretAccessKey: creds.SecretAccessKey,
		SessionToken:    creds.SessionToken,
		Expiration:      creds.Expires.UTC(),
	}
	if !creds.CanExpire || !c.usable(entry) {
		return
	}
	if err := c.update(ctx, key, entry); err != nil && !errors.Is(err, errNotOurs) { // of which get has warned
		c.warn(fmt.Sprintf("credentials are not cached in %s: %v", c.path, err))
	}
}

func (c *credentialCache) update(ctx context.Context, key string, entry cacheEntry) error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	lock := flock.New(c.path+".lock", flock.SetFlag(os.O_CREATE|os.O_RDWR|openNoFollow), flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(ctx, cacheLockTimeout)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("lock it: %w", err)
	}
	defer lock.Unlock()

	content, err := c.read()
	if errors.Is(err, errNotOurs) {
		return err
	}
	if content.Entries == nil { // no file yet, or a broken one
		content.Entries = make(map[string]cacheEntry)
	}
	maps.DeleteFunc(content.Entries, func(_ string, e cacheEntry) bool { return !c.usable(e) })
	content.Entries[key] = entry
	if excess := len(content.Entries) - maxCacheEntries; excess > 0 {
		soonest := slices.SortedFunc(maps.Keys(content.Entries), func(a, b string) int {
			return cmp.Or(content.Entries[a].Expiration.Compare(content.Entries[b].Expiration), cmp.Compare(a, b))
		})
		for _, k := range soonest[:excess] {
			delete(content.Entries, k)
		}
	}
	content.Format, content.Version = cacheFormat, cacheVersion
	return c.write(content)
}

// read returns what is in the file, or nothing if there is none. A file that
// others could have written or read is not trusted. Errors that are errNotOurs
// say that the file must not be replaced.
func (c *credentialCache) read() (cacheContent, error) {
	data, err := readPrivateFile(c.path, maxCacheSize)
	if errors.Is(err, fs.ErrNotExist) {
		return cacheContent{}, nil
	}
	if err != nil {
		return cacheContent{}, err
	}
	var content cacheContent
	err = json.Unmarshal(data, &content)
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) > 0 && trimmed[0] != '{', // such as the YAML of aws-iam-authenticator
		err == nil && (content.Format != cacheFormat || content.Version != cacheVersion):
		return cacheContent{}, fmt.Errorf("it has another format, so %w", errNotOurs)
	case err != nil:
		return cacheContent{}, fmt.Errorf("it is broken: %w", err)
	}
	return content, nil
}

func (c *credentialCache) write(content cacheContent) error {
	data, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(c.path), filepath.Base(c.path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(append(data, '\n'))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), c.path)
	}
	if err != nil {
		os.Remove(temp.Name())
	}
	return err
}

// readPrivateFile reads a file of at most limit bytes that belongs to this user
// and that nobody else may read or write.
func readPrivateFile(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no regular file (%s), so %w", info.Mode().Type(), errNotOurs)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|openNoFollow, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("it can't be read, so %w: %w", errNotOurs, err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// What is asked from here on is asked of the file that is open.
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	if err := checkPrivate(info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	return data, err
}

// cacheKey returns a hash of all that decides which credentials are got, so that
// nobody's credentials are ever used for somebody else: what is asked for, the
// environment and the profile with its keys, and the login or web identity behind
// it. The host is part of it as home directories may be shared between machines
// that have identities of their own. What a credential_process makes of itself
// can't be known: it is taken to be one identity.
func cacheKey(cfg aws.Config, opts GenerateOptions) (string, error) {
	env, profile, ok := configSources(cfg)
	if !ok {
		return "", errors.New("the SDK doesn't tell what it read")
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	files := loginFiles(profile)
	if path := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
		files = append(files, path)
	}
	if env.WebIdentityTokenFilePath != "" {
		files = append(files, env.WebIdentityTokenFilePath)
	}
	logins := make([][]byte, len(files))
	for i, path := range files {
		if logins[i], err = os.ReadFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	data, err := json.Marshal(struct {
		Host, Cluster, Region, Profile, Role, ExternalID, SessionName string
		ForwardSessionName                                            bool
		SessionDuration                                               time.Duration
		Env                                                           config.EnvConfig
		Config                                                        config.SharedConfig
		Logins                                                        [][]byte
	}{
		host, opts.ClusterID, cfg.Region, opts.Profile, opts.RoleARN, opts.ExternalID, opts.SessionName,
		opts.ForwardSessionName, opts.SessionDuration, env, profile, logins,
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// loginFiles returns the files in which the SDK finds the logins that a profile
// leads to: they say who logged in.
func loginFiles(profile config.SharedConfig) (files []string) {
	for _, p := range profileChain(profile) {
		if usesSSO(p) {
			if path, err := ssocreds.StandardCachedTokenFilepath(cmp.Or(p.SSOSessionName, p.SSOStartURL)); err == nil {
				files = append(files, path)
			}
		}
		if usesLogin(p) {
			if path, err := logincreds.StandardCachedTokenFilepath(p.LoginSession, os.Getenv("AWS_LOGIN_CACHE_DIRECTORY")); err == nil {
				files = append(files, path)
			}
		}
		if p.WebIdentityTokenFile != "" {
			files = append(files, p.WebIdentityTokenFile)
		}
	}
	return files
}
