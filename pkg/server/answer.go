package server

import "encoding/json"

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
	b = appendString(b, u.username)
	b = append(b, `,"uid":`...)
	b = appendString(b, u.uid)
	if len(u.groups) > 0 {
		b = append(b, `,"groups":`...)
		before := byte('[')
		for _, group := range u.groups {
			b = append(b, before)
			b = appendString(b, group)
			before = ','
		}
		b = append(b, ']')
	}
	if len(u.extra) > 0 {
		b = append(b, `,"extra":`...)
		before := byte('{')
		for _, e := range u.extra {
			b = append(b, before)
			b = appendString(b, e.key)
			b = append(b, `:[`...)
			b = appendString(b, e.value)
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
		b = appendString(b, text)
	}
	return append(b, `}}`...)
}

// appendHead appends a TokenReview up to the fields of its status.
func appendHead(b []byte, apiVersion string) []byte {
	b = append(b, `{"kind":"TokenReview","apiVersion":`...)
	b = appendString(b, apiVersion)
	return append(b, `,"metadata":{},"spec":{},"status":{`...)
}

// appendString appends a string in JSON, as json.Marshal writes it. What needs
// escapes, which is rare, is left to json.Marshal itself.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, _ := json.Marshal(s) // never fails on a string
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
