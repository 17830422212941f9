// Package jsontext appends JSON without the cost of encoding/json.
package jsontext

import "encoding/json"

// AppendString appends a string as json.Marshal writes it. What needs escapes, which is
// rare, is left to json.Marshal itself.
func AppendString(b []byte, s string) []byte {
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
