package mapper

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// yamlOf returns JSON in the form that YAML takes. There are two escapes in JSON
// strings that our YAML parser has not: "\/", and one character outside the basic
// plane in two halves. Lines stay as they are.
func yamlOf(data []byte) []byte {
	if !bytes.Contains(data, []byte(`\/`)) && !bytes.Contains(data, []byte(`\u`)) || !json.Valid(data) {
		return data
	}
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		n := 1
		switch {
		case data[0] != '\\':
			out = append(out, data[0])
		case data[1] == '/':
			n = 2
			out = append(out, '/')
		case data[1] == 'u' && len(data) >= 12 && data[6] == '\\' && data[7] == 'u':
			high, _ := strconv.ParseUint(string(data[2:6]), 16, 16)
			low, _ := strconv.ParseUint(string(data[8:12]), 16, 16)
			if r := utf16.DecodeRune(rune(high), rune(low)); r != unicode.ReplacementChar {
				n = 12
				out = utf8.AppendRune(out, r)
				break
			}
			fallthrough
		default:
			n = 2
			out = append(out, data[:2]...)
		}
		data = data[n:]
	}
	return out
}
