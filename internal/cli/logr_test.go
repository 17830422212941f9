package cli

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

func TestLibrariesSayWhatMattersAndNoContent(t *testing.T) {
	for verbosity, want := range map[string]string{
		"info":  "INFO plain, ERROR failed",
		"debug": "INFO plain, DEBUG detail, ERROR failed",
		"error": "ERROR failed",
	} {
		var out strings.Builder
		log, stop, err := NewLog(&out, "text", verbosity)
		if err != nil {
			t.Fatal(err)
		}
		l := Logr(log).WithName("name")
		l.Info("plain", "object", &corev1.Secret{StringData: map[string]string{"k": "hidden"}}, "ref", klog.KRef("ns", "n"))
		l.V(maxVerbosity).Info("detail")
		l.V(maxVerbosity + 1).Info("request")
		l.WithValues("object", &corev1.Secret{StringData: map[string]string{"k": "hidden"}}).Error(errors.New("why"), "failed")
		stop()
		var got []string
		for line := range strings.Lines(out.String()) {
			fields := strings.Fields(line)
			got = append(got, fields[1]+" "+fields[2])
		}
		if strings.Join(got, ", ") != want || strings.Contains(out.String(), "hidden") {
			t.Errorf("%s: got %s, want %s", verbosity, &out, want)
		}
		if verbosity == "info" && (!strings.Contains(out.String(), `"ref": "ns/n"`) || !strings.Contains(out.String(), `"error": "why"`)) {
			t.Errorf("got %s", &out)
		}
	}
}
