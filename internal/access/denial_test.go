package access

import (
	"fmt"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const logText = `{"level":"info","time":"2026-01-01T00:00:00Z","msg":"authenticator starts"}
{"level":"warn","time":"2026-01-01T00:00:01Z","msg":"login refused: NotMapped","outcome":"denied","reason":"NotMapped","remote":"127.0.0.1:1","detail":"NotMapped: no mapping for arn:aws:iam::111122223333:role/a","arn":"arn:aws:sts::111122223333:assumed-role/a/alice","principalId":"AROAX","accessKeyId":"ASIAX"}
not JSON
{"level":"info","time":"2026-01-01T00:00:02Z","msg":"login granted","outcome":"granted","reason":"Granted","arn":"arn:aws:sts::111122223333:assumed-role/b/alice"}
{"v":1,"id":"x","time":"2026-01-01T00:00:03Z","outcome":"rejected","reason":"SignatureMismatch","remote":"127.0.0.1:1"}
{"level":"error","time":"2026-01-01T00:00:04Z","msg":"another error","reason":"why"}
`

func TestLastDenialsNewestFirst(t *testing.T) {
	denials, unread, err := ReadDenials(strings.NewReader(logText), 5)
	if err != nil || unread != 1 || len(denials) != 2 {
		t.Fatalf("%d denials, %d lines unread, %v", len(denials), unread, err)
	}
	if denials[0].Reason != reason.SignatureMismatch || denials[1].Reason != reason.NotMapped || denials[1].PrincipalID != "AROAX" {
		t.Errorf("%+v", denials)
	}
	if denials, _, _ = ReadDenials(strings.NewReader(logText), 1); len(denials) != 1 || denials[0].Reason != reason.SignatureMismatch {
		t.Errorf("the last one is %+v", denials)
	}
}

func TestTextLogIsNoLog(t *testing.T) {
	if _, _, err := ReadDenials(strings.NewReader("2026-01-01 WARN login refused\n"), 1); err == nil || !strings.Contains(err.Error(), "--log-format json") {
		t.Errorf("error %v", err)
	}
	if denials, _, err := ReadDenials(strings.NewReader(""), 1); err != nil || len(denials) > 0 {
		t.Errorf("of an empty log: %v, %v", denials, err)
	}
}

// A denial is explained by the mappings of now, with the session and the IDs that the
// log has.
func TestDenialIsExplainedByTheMappingsOfNow(t *testing.T) {
	denials, _, err := ReadDenials(strings.NewReader(logText), 2)
	if err != nil {
		t.Fatal(err)
	}
	for entries, want := range map[string]reason.Code{
		"": reason.NotMapped,
		"- {rolearn: \"" + arns + "role/a\", username: \"u:{{SessionName}}\", userid: AROAX}\n": reason.Granted,
		"- {rolearn: \"" + arns + "role/a\", username: u, userid: AROAY}\n":                     reason.PrincipalIDMismatch,
	} {
		s := roles(t, entries)
		e := s.ExplainDenial(t.Context(), denials[1])
		if e.Reason != want || e.Denial.Reason != reason.NotMapped || len(e.Assumed) > 0 {
			t.Errorf("%s, denied as %s, assumed %q, want %s", e.Reason, e.Denial.Reason, e.Assumed, want)
		}
		if want == reason.Granted && e.User.Username != "u:alice" {
			t.Errorf("user %+v", e.User)
		}
		// Whose caller was never known stays refused.
		if e := s.ExplainDenial(t.Context(), denials[0]); e.Reason != reason.SignatureMismatch || e.Err() == nil || e.Hint == "" {
			t.Errorf("%+v", e)
		}
	}
}

func TestDenialHasNoSecretsAndNothingThatATerminalObeys(t *testing.T) {
	line := `{"time":"2026-01-01T00:00:00Z","outcome":"denied","reason":"NotMapped","detail":"\u001b[2Jk8s-aws-v1.AAAAsecret x-amz-signature=0123secret&X-Amz-Security-Token=secret","arn":"\u202earn"}`
	denials, _, err := ReadDenials(strings.NewReader(line), 1)
	if err != nil || len(denials) != 1 {
		t.Fatalf("%v, %v", denials, err)
	}
	if text := fmt.Sprint(denials[0]); strings.Contains(text, "secret&") || strings.Contains(text, "AAAA") || strings.Contains(text, "0123") || strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("%q", text)
	}
}
