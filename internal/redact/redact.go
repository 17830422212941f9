// Package redact takes from texts the secrets of a login: what people paste into the
// wrong place comes back in error messages, and from there into terminals and logs.
package redact

import (
	"regexp"
	"sync"
)

// placeholder stands for a secret.
const placeholder = "[secret]"

// secrets are compiled when they are first needed: most commands end without an error.
var secrets = sync.OnceValue(func() *regexp.Regexp {
	// Behind a token, \n and the like are those of a quoted text in which it was wrapped.
	const token = `(?:[A-Za-z0-9_=+/-]|%[0-9A-Fa-f]{2}|\\[nrt])+`
	return regexp.MustCompile(
		// A token, and one whose prefix was lost: base64 of "https://".
		`(?i:k8s-aws-v1)\.` + token + `|aHR0cHM6Ly9` + token +
			// In a presigned URL or a header.
			`|(?i:X-Amz-(?:Signature|Security-Token))(?:=|%3D|: ?)[^&\s"']*|\bSignature=[^&\s"',]*` +
			// In the AWS configuration, the environment and answers of STS.
			`|(?i:secret_?access_?key|session_?token)["']?\s*[=:]\s*["']?[^\s"']+` +
			// Session tokens of STS begin with what they are encoded with.
			`|(?:IQoJ|FwoG|FQoG|AQoD)[A-Za-z0-9+/=_-]{40,}` +
			// Another bearer token: a signed JWT, as service accounts and OIDC have.
			`|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`,
	)
})

// userinfo is the part of a URL that may be a password.
var userinfo = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(://)[^/?#\s"'@]+@`)
})

// Text returns a text with a placeholder for every token, signature and security token
// in it, and for the userinfo of URLs. What has neither form can't be found.
func Text(s string) string {
	return userinfo().ReplaceAllString(secrets().ReplaceAllString(s, placeholder), "${1}"+placeholder+"@")
}
