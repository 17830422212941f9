package token

import (
	"testing"
	"time"
)

func TestParseExecInfo(t *testing.T) {
	cases := []struct {
		name, env string
		want      ExecInfo
	}{
		{"none", "", ExecInfo{ExecV1Beta1, "", true}},
		{"v1", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}`, ExecInfo{ExecV1, "", true}},
		{"v1beta1", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":true}}`, ExecInfo{ExecV1Beta1, "", true}},
		{"not interactive", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}`, ExecInfo{ExecV1, "", false}},
		{"kubectl before v1.22", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{}}`, ExecInfo{ExecV1Beta1, "", true}},
		{"cluster", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://x.us-west-2.eks.amazonaws.com","certificate-authority-data":"Y2E=","config":{"a":1}},"interactive":true}}`,
			ExecInfo{ExecV1, "https://x.us-west-2.eks.amazonaws.com", true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseExecInfo(c.env)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestParseExecInfoRejects(t *testing.T) {
	cases := []struct{ name, env, says string }{
		{"no JSON", "v1", "KUBERNETES_EXEC_INFO is not the JSON"},
		{"cut off", `{"kind":"ExecCredential"`, "is not the JSON"},
		{"two documents", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"}{}`, "is not the JSON"},
		{"other type", `{"kind":"ExecCredential","apiVersion":1}`, "is not the JSON"},
		{"other kind", `{"kind":"TokenReview","apiVersion":"client.authentication.k8s.io/v1"}`, "want ExecCredential"},
		{"null", `null`, "want ExecCredential"},
		{"v1alpha1", `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1"}`, "want client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1"},
		{"other group", `{"kind":"ExecCredential","apiVersion":"authentication.k8s.io/v1"}`, "is not supported"},
		{"no version", `{"kind":"ExecCredential"}`, "is not supported"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			info, err := ParseExecInfo(c.env)
			wantError(t, err, c.says)
			if info != (ExecInfo{}) {
				t.Errorf("an error and %+v", info)
			}
		})
	}
}

func TestEncodeExecCredential(t *testing.T) {
	token := Token{Value: "k8s-aws-v1.abc", Expiration: time.Date(2026, 3, 4, 5, 6, 7, 890, time.FixedZone("", 3600))}
	for _, version := range []string{"v1", "v1beta1"} {
		got, err := EncodeExecCredential(token, "client.authentication.k8s.io/"+version)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/` + version +
			`","spec":{},"status":{"expirationTimestamp":"2026-03-04T04:06:07Z","token":"k8s-aws-v1.abc"}}`
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for _, version := range []string{"", "v1", "client.authentication.k8s.io/v1alpha1"} {
		_, err := EncodeExecCredential(token, version)
		wantError(t, err, "is not supported")
	}
}

func FuzzParseExecInfo(f *testing.F) {
	f.Add("")
	f.Add(`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://x"},"interactive":true}}`)
	f.Add(`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v2","spec":null}`)
	f.Fuzz(func(t *testing.T, env string) {
		info, err := ParseExecInfo(env)
		if err != nil {
			if info != (ExecInfo{}) {
				t.Errorf("an error and %+v", info)
			}
			return
		}
		if _, err := EncodeExecCredential(Token{}, info.APIVersion); err != nil {
			t.Errorf("accepted, but can't be answered: %v", err)
		}
	})
}
