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

func TestALineThatIsTooLongHidesNoOther(t *testing.T) {
	long := `{"outcome":"denied","reason":"NotMapped","detail":"` + strings.Repeat("x", maxLine) + "\"}\n"
	for _, text := range []string{long + logText, logText + long, logText + strings.TrimSpace(long)} {
		denials, unread, err := ReadDenials(strings.NewReader(text), 5)
		if err != nil || unread != 2 || len(denials) != 2 {
			t.Errorf("%d denials, %d lines unread, %v", len(denials), unread, err)
		}
	}
}

// Who is behind a pseudonym is not known, so only what doesn't depend on it is decided.
func TestPseudonymsAreNotTakenForNames(t *testing.T) {
	const pseudonym = "p-0123456789abcdef0123456789abcdef"
	denial := func(arn string) Denial {
		return Denial{Outcome: "denied", Reason: reason.NotMapped, ARN: arn, PrincipalID: "AROAX", AccessKeyID: "ASIAX"}
	}
	session := denial("arn:aws:sts::111122223333:assumed-role/a/" + pseudonym)
	for entry, want := range map[string]reason.Code{
		`username: u, groups: [g]`:                             reason.Granted,
		`username: "u:{{SessionName}}"`:                        Undecided,
		`username: u, groups: ["g:{{SessionNameRaw}}"]`:        Undecided,
		`username: u, sessionNamePattern: ".*"`:                Undecided,
		`username: u, sessionNamePattern: "alice"`:             Undecided,
		`username: "u:{{SessionName}}", userid: AROAY`:         reason.PrincipalIDMismatch,
		`username: "system:node:{{EC2PrivateDNSName}}"`:        Undecided,
		`username: "u:{{AccessKeyID}}", userid: AROAX`:         reason.Granted,
		`username: "u:{{SessionName}}", sessionNamePattern: x`: Undecided,
	} {
		s := roles(t, "- {rolearn: \""+arns+"role/a\", "+entry+"}\n")
		e := s.ExplainDenial(t.Context(), session)
		if e.Reason != want {
			t.Errorf("%s: %s (%s), want %s", entry, e.Reason, e.Detail, want)
		}
		if want == Undecided && (e.User != nil || !strings.Contains(e.Detail, "pseudonym") || !strings.Contains(e.Detail, "--arn "+arns+"role/a")) {
			t.Errorf("%s: %+v", entry, e)
		}
		if e.Identity.SessionName != "" {
			t.Errorf("%s: the pseudonym is shown as the session name %q", entry, e.Identity.SessionName)
		}
	}
	if e := roles(t, "").ExplainDenial(t.Context(), session); e.Reason != reason.NotMapped {
		t.Errorf("a role that nobody maps: %s", e.Reason)
	}
	for arn, id := range map[string]string{arns + "user/" + pseudonym: "AIDAX", "arn:aws:sts::111122223333:federated-user/" + pseudonym: "111122223333"} {
		d := denial(arn)
		d.PrincipalID = id
		if e := roles(t, "").ExplainDenial(t.Context(), d); e.Reason != Undecided || !strings.Contains(e.Detail, "pseudonym") {
			t.Errorf("%s: %s (%s)", arn, e.Reason, e.Detail)
		}
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
