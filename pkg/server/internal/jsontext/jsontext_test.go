package jsontext

import (
	"encoding/json"
	"testing"
)

func TestAppendStringWritesWhatMarshalDoes(t *testing.T) {
	texts := []string{"", "arn:aws:iam::111122223333:role/admins", "é\u2028 and \xff", "\x7f"}
	for c := range 256 {
		texts = append(texts, "a"+string(rune(c))+"b", string([]byte{byte(c)}))
	}
	for _, text := range texts {
		want, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendString([]byte("x"), text); string(got) != "x"+string(want) {
			t.Errorf("%q becomes %s, want x%s", text, got, want)
		}
	}
}
