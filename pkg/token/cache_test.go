package token

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/gofrs/flock"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

// newCache returns a cache in a new directory, whose warnings go to the slice.
func newCache(t testing.TB) (c *credentialCache, warnings *[]string) {
	warnings = new([]string)
	return &credentialCache{
		path: filepath.Join(t.TempDir(), "cache", "credentials.json"),
		now:  func() time.Time { return presignTestTime },
		warn: func(w string) { *warnings = append(*warnings, w) },
	}, warnings
}

func cacheable(id string, life time.Duration) aws.Credentials {
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: "secret", SessionToken: "token", CanExpire: true, Expires: presignTestTime.Add(life)}
}

func TestCacheReturnsWhatWasPut(t *testing.T) {
	c, warnings := newCache(t)
	if _, ok := c.get("key"); ok {
		t.Error("found in no file")
	}
	want := cacheable("ASIA1", time.Hour)
	c.put(t.Context(), "key", want)
	got, ok := c.get("key")
	if !ok || got.AccessKeyID != want.AccessKeyID || got.SecretAccessKey != want.SecretAccessKey ||
		got.SessionToken != want.SessionToken || !got.CanExpire || !got.Expires.Equal(want.Expires) {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	if _, ok := c.get("other"); ok {
		t.Error("found under another key")
	}
	if len(*warnings) != 0 {
		t.Errorf("warnings %q", *warnings)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, mode := range map[string]os.FileMode{c.path: 0o600, c.path + ".lock": 0o600, filepath.Dir(c.path): 0o700 | os.ModeDir} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
	if files, _ := os.ReadDir(filepath.Dir(c.path)); len(files) != 2 {
		t.Errorf("%d files, want the cache and its lock only", len(files))
	}
}

func TestCacheTakesOnlyCredentialsWithTimeLeft(t *testing.T) {
	forever := cacheable("AKIA1", 0)
	forever.CanExpire, forever.Expires = false, time.Time{}
	for name, creds := range map[string]aws.Credentials{
		"that don't expire": forever,
		"that have expired": cacheable("ASIA1", -time.Hour),
		"that soon expire":  cacheable("ASIA1", cacheMargin),
		"that are empty":    {CanExpire: true, Expires: presignTestTime.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			c, warnings := newCache(t)
			c.put(t.Context(), "key", creds)
			if _, err := os.Stat(c.path); !os.IsNotExist(err) {
				t.Errorf("there is a file, or %v", err)
			}
			if len(*warnings) != 0 {
				t.Errorf("warnings %q", *warnings)
			}
		})
	}
}

func TestCacheForgetsBeforeExpiry(t *testing.T) {
	c, _ := newCache(t)
	c.put(t.Context(), "short", cacheable("ASIA1", 10*time.Minute))
	c.put(t.Context(), "long", cacheable("ASIA2", time.Hour))
	c.now = func() time.Time { return presignTestTime.Add(9 * time.Minute) }
	if _, ok := c.get("short"); ok {
		t.Error("credentials with a minute left are used")
	}
	if _, ok := c.get("long"); !ok {
		t.Error("credentials with time left are not used")
	}
	c.put(t.Context(), "new", cacheable("ASIA3", time.Hour))
	if content, err := c.read(); err != nil || len(content.Entries) != 2 {
		t.Errorf("%d entries, want the expired one gone; error %v", len(content.Entries), err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c, _ := newCache(t)
	for i := range maxCacheEntries + 5 {
		c.put(t.Context(), fmt.Sprint(i), cacheable("ASIA1", time.Hour+time.Duration(i)*time.Second))
	}
	content, err := c.read()
	if err != nil || len(content.Entries) != maxCacheEntries {
		t.Errorf("%d entries, error %v", len(content.Entries), err)
	}
	if _, ok := content.Entries["4"]; ok {
		t.Error("an entry that expires sooner than all others was kept")
	}
}

func TestCacheKeepsWhatOthersWriteAtTheSameTime(t *testing.T) {
	c, warnings := newCache(t)
	const writers = 20
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			own := &credentialCache{path: c.path, now: c.now, warn: func(w string) { t.Error(w) }}
			own.put(t.Context(), fmt.Sprint(i), cacheable("ASIA1", time.Hour))
		})
	}
	wait.Wait()
	if content, err := c.read(); err != nil || len(content.Entries) != writers || len(*warnings) != 0 {
		t.Errorf("%d entries of %d, error %v", len(content.Entries), writers, err)
	}
}

func TestCacheGivesUpOnALockedFile(t *testing.T) {
	c, warnings := newCache(t)
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(c.path + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	c.put(ctx, "key", cacheable("ASIA1", time.Hour))
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "lock") {
		t.Errorf("warnings %q", *warnings)
	}
}

func TestCacheThatCannotBeTrusted(t *testing.T) {
	good := func(t *testing.T) string {
		c, _ := newCache(t)
		c.put(t.Context(), "key", cacheable("ASIAPLANTED", time.Hour))
		data, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	write := func(content string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name     string
		place    func(t *testing.T, path string)
		replaced bool
		says     string
	}{
		{"empty", write("", 0o600), true, "broken"},
		{"cut off", write(`{"format": "authenticator cred`, 0o600), true, "broken"},
		{"wrong types", write(`{"format": "authenticator credential cache", "version": 1, "entries": {"key": []}}`, 0o600), true, "broken"},
		{"too large", write(`{"format": "`+strings.Repeat("x", maxCacheSize)+`"}`, 0o600), true, "more than"},
		{"readable to the group", func(t *testing.T, path string) { write(good(t), 0o640)(t, path) }, true, "others may read or write it (mode 0640"},
		{"writable to all", func(t *testing.T, path string) { write(good(t), 0o602)(t, path) }, true, "others may"},
		{"YAML of aws-iam-authenticator", write("clusters:\n  prod: {}\n", 0o600), false, "another format"},
		{"JSON of another program", write(`{"Credentials": {}}`, 0o600), false, "another format"},
		{"a later version", write(`{"format": "authenticator credential cache", "version": 2}`, 0o600), false, "another format"},
		{"symbolic link", func(t *testing.T, path string) {
			target := filepath.Join(t.TempDir(), "target")
			write(good(t), 0o600)(t, target)
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		}, false, "no regular file"},
		{"directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, false, "no regular file"},
		{"file of another user", func(t *testing.T, path string) {
			if os.Geteuid() != 0 {
				t.Skip("needs to be root")
			}
			write(good(t), 0o600)(t, path)
			if err := os.Chown(path, 12345, -1); err != nil {
				t.Fatal(err)
			}
		}, false, "belongs to the user ID 12345"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("modes and owners are those of Unix")
			}
			cache, warnings := newCache(t)
			if err := os.MkdirAll(filepath.Dir(cache.path), 0o700); err != nil {
				t.Fatal(err)
			}
			c.place(t, cache.path)
			before, _ := os.ReadFile(cache.path)
			if creds, ok := cache.get("key"); ok {
				t.Errorf("used: %+v", creds)
			}
			cache.put(t.Context(), "key", cacheable("ASIA1", time.Hour))
			if len(*warnings) != 1 || !strings.Contains((*warnings)[0], c.says) {
				t.Errorf("warnings %q, want one that says %q", *warnings, c.says)
			}
			if c.replaced {
				if creds, ok := cache.get("key"); !ok || creds.AccessKeyID != "ASIA1" {
					t.Errorf("not replaced: %+v, %v", creds, ok)
				}
			} else if after, _ := os.ReadFile(cache.path); string(after) != string(before) {
				t.Errorf("changed to %s", after)
			}
		})
	}
}

func TestTokenIsMadeThoughItCannotBeCached(t *testing.T) {
	emulator, _ := setSTS(t, awstest.Role{}, "")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	token, err := Generate(t.Context(), GenerateOptions{
		ClusterID: "prod", RoleARN: clientRoleARN, Cache: true, CacheFile: filepath.Join(file, "credentials.json"),
		Warn: func(w string) { warnings = append(warnings, w) },
	})
	if err != nil {
		t.Fatal(err)
	}
	sessionNameOf(t, whoSigned(t, emulator, token))
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "credentials are not cached in") }) {
		t.Errorf("warnings %q", warnings)
	}
}

func TestCachedCredentialsTakeNoNetworkCall(t *testing.T) {
	emulator, _ := setSTS(t, awstest.Role{}, "")
	opts := GenerateOptions{ClusterID: "prod", RoleARN: clientRoleARN, ForwardSessionName: true, Cache: true}
	first, err := Generate(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	emulator.Forget()
	second, err := Generate(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if n := emulator.Calls(""); n != 0 {
		t.Errorf("%d calls for a cached token", n)
	}
	if a, b := whoSigned(t, emulator, first), whoSigned(t, emulator, second); a != b {
		t.Errorf("signed by %s, then by %s", a, b)
	}
	path, err := DefaultCacheFile()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content cacheContent
	if err := json.Unmarshal(data, &content); err != nil || content.Format != cacheFormat || content.Version != 1 || len(content.Entries) != 1 {
		t.Errorf("cache %s, error %v", data, err)
	}
}

// A wrong hit would let somebody act as somebody else.
func TestCachedCredentialsServeNobodyElse(t *testing.T) {
	const configFile = `
[profile base]
aws_access_key_id = $ID
aws_secret_access_key = $SECRET
[profile other]
aws_access_key_id = $ID
aws_secret_access_key = $SECRET
`
	base := GenerateOptions{ClusterID: "prod", Profile: "base", RoleARN: clientRoleARN}
	const otherRole = "arn:aws:iam::111122223333:role/others"
	cases := []struct {
		name   string
		change func(t *testing.T, opts *GenerateOptions, emulator *awstest.STS)
	}{
		{"cluster", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.ClusterID = "test" }},
		{"profile", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.Profile = "other" }},
		{"role", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.RoleARN = otherRole }},
		{"external ID", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.ExternalID = "s3cret" }},
		{"session name", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.SessionName = "carol" }},
		{"forwarded session name", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.ForwardSessionName = true }},
		{"session duration", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.SessionDuration = 30 * time.Minute }},
		{"region", func(t *testing.T, o *GenerateOptions, _ *awstest.STS) { o.Region = "eu-west-1" }},
		{"keys in the profile", func(t *testing.T, o *GenerateOptions, emulator *awstest.STS) {
			key, err := emulator.AddKey(clientUserARN)
			if err != nil {
				t.Fatal(err)
			}
			config := "[profile base]\naws_access_key_id = " + key.AccessKeyID + "\naws_secret_access_key = " + key.SecretAccessKey + "\n"
			if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			emulator, _ := setSTS(t, awstest.Role{}, configFile)
			if err := emulator.AddRole(otherRole, awstest.Role{TrustedPrincipals: []string{clientUserARN}}); err != nil {
				t.Fatal(err)
			}
			opts := base
			opts.Cache = true
			for range 2 {
				if _, err := Generate(t.Context(), opts); err != nil {
					t.Fatal(err)
				}
			}
			if n := emulator.Calls("AssumeRole"); n != 1 {
				t.Fatalf("%d calls for the same token twice", n)
			}
			c.change(t, &opts, emulator)
			if _, err := Generate(t.Context(), opts); err != nil {
				t.Fatal(err)
			}
			if n := emulator.Calls("AssumeRole"); n != 2 {
				t.Errorf("%d calls after the change, want 2", n)
			}
		})
	}

	t.Run("keys in the environment", func(t *testing.T) {
		emulator, _ := setSTS(t, awstest.Role{}, "")
		opts := GenerateOptions{ClusterID: "prod", RoleARN: clientRoleARN, Cache: true}
		if _, err := Generate(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		eve, err := emulator.AddUser("arn:aws:iam::111122223333:user/eve")
		if err != nil {
			t.Fatal(err)
		}
		setKey(t, eve)
		_, err = Generate(t.Context(), opts)
		wantError(t, err, "trust policy") // which does not name her
	})
}

func TestCacheKeyChangesWithTheLogin(t *testing.T) {
	setAWS(t, `
[profile sso]
region = us-west-2
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
[profile legacy-sso]
region = us-west-2
sso_start_url = https://old.awsapps.com/start
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = Dev
[profile via-sso]
source_profile = sso
role_arn = `+clientRoleARN+`
region = us-west-2
[profile login]
region = us-west-2
login_session = arn:aws:iam::111122223333:user/carol
`)
	for _, profile := range []string{"sso", "legacy-sso", "via-sso", "login"} {
		t.Run(profile, func(t *testing.T) {
			opts := GenerateOptions{ClusterID: "prod", Profile: profile}.withDefaults()
			cfg, err := loadConfig(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			_, shared, _ := configSources(cfg)
			files := loginFiles(shared)
			if len(files) != 1 {
				t.Fatalf("login files %q, want one", files)
			}
			// The SDK's own error says where it looks for the login.
			_, err = cfg.Credentials.Retrieve(t.Context())
			if profile != "login" {
				wantError(t, err, files[0])
			}
			if err := os.MkdirAll(filepath.Dir(files[0]), 0o700); err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, login := range []string{"", "carol's", "dave's"} {
				if login != "" {
					if err := os.WriteFile(files[0], []byte(login), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				key, err := cacheKey(cfg, opts)
				if err != nil {
					t.Fatal(err)
				}
				if slices.Contains(keys, key) {
					t.Errorf("the key does not change with the login %q", login)
				}
				keys = append(keys, key)
			}
			if again, _ := cacheKey(cfg, opts); again != keys[2] {
				t.Error("the key changes without a change")
			}
			os.Remove(files[0])
		})
	}
}
