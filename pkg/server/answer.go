package server

import "github.com/iam-authenticator/authenticator/pkg/server/internal/jsontext"

// userInfo is the user of a TokenReview's status.
type userInfo struct {
	username, uid string
	groups        []string
	extra         []extra
}

type extra struct{ key, value string }

// Answers have the request's apiVersion, as the API server accepts no other, and no
// audiences: tokens know none, and to echo the ones asked for would vouch for them.

// encodeGrant returns the TokenReview that lets a user in.
func encodeGrant(apiVersion string, u userInfo) []byte {
	b := appendHead(make([]byte, 0, 1<<10), apiVersion)
	b = append(b, `"authenticated":true,"user":{"username":`...)
	b = jsontext.AppendString(b, u.username)
	b = append(b, `,"uid":`...)
	b = jsontext.AppendString(b, u.uid)
	if len(u.groups) > 0 {
		b = append(b, `,"groups":`...)
		before := byte('[')
		for _, group := range u.groups {
			b = append(b, before)
			b = jsontext.AppendString(b, group)
			before = ','
		}
		b = append(b, ']')
	}
	if len(u.extra) > 0 {
		b = append(b, `,"extra":`...)
		before := byte('{')
		for _, e := range u.extra {
			b = append(b, before)
			b = jsontext.AppendString(b, e.key)
			b = append(b, `:[`...)
			b = jsontext.AppendString(b, e.value)
			b = append(b, ']')
			before = ','
		}
		b = append(b, '}')
	}
	return append(b, `}}}`...)
}

// encodeRefusal returns the TokenReview that lets nobody in. The API server remembers
// one without a text.
func encodeRefusal(apiVersion, text string) []byte {
	b := appendHead(make([]byte, 0, 512), apiVersion)
	b = append(b, `"user":{}`...)
	if text != "" {
		b = append(b, `,"error":`...)
		b = jsontext.AppendString(b, text)
	}
	return append(b, `}}`...)
}

// appendHead appends a TokenReview up to the fields of its status.
func appendHead(b []byte, apiVersion string) []byte {
	b = append(b, `{"kind":"TokenReview","apiVersion":`...)
	b = jsontext.AppendString(b, apiVersion)
	return append(b, `,"metadata":{},"spec":{},"status":{`...)
}
