package server

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// Check is one condition of being ready. Err returns nil if it holds, and else an
// error that says what is missing.
type Check struct {
	Name string
	Err  func() error
	// Advisory checks are shown, but don't make the server unready: it does its work
	// all the same, and an operator should look.
	Advisory bool
}

// MapperChecks returns the checks of mappers: that each has read its source, and, as
// advice, that what the source says now is in force.
func MapperChecks(mappers []mapper.Mapper) []Check {
	var checks []Check
	for _, m := range mappers {
		checks = append(checks,
			Check{Name: "mapper " + m.Name(), Err: func() error { return m.Status().Ready() }},
			Check{Name: "mapper " + m.Name() + " up to date", Err: func() error { return m.Status().Err }, Advisory: true})
	}
	return checks
}

// STSChecks returns a check for each STS endpoint in use. They are advisory: to take
// this server out of service would not bring STS back, and logins that it remembers go
// on.
func STSChecks(stats token.Stats) []Check {
	var checks []Check
	for _, e := range stats.Endpoints {
		err := e.Err
		if err == nil && e.Share < 1 {
			err = fmt.Errorf("it throttles, and gets %.0f %% of the allowed calls per second", 100*e.Share)
		}
		checks = append(checks, Check{Name: "STS " + e.Host, Err: func() error { return err }, Advisory: true})
	}
	return checks
}

// live answers /healthz and /livez: the process serves. It says nothing about STS
// or mappings, as a restart would mend neither.
func live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok"))
}

// ready answers /readyz in the manner of the API server: "ok", or 503 and the
// checks that failed; with ?verbose every check, a line each.
func ready(checks func() []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var lines strings.Builder
		failed := 0
		for _, check := range checks() {
			switch err := check.Err(); {
			case err == nil:
				fmt.Fprintf(&lines, "[+]%s ok\n", check.Name)
			case check.Advisory:
				fmt.Fprintf(&lines, "[!]%s warning: %s\n", check.Name, oneLine(err))
			default:
				failed++
				fmt.Fprintf(&lines, "[-]%s failed: %s\n", check.Name, oneLine(err))
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, verbose := r.URL.Query()["verbose"]
		switch {
		case failed > 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "%sreadyz check failed\n", lines.String())
		case verbose:
			fmt.Fprintf(w, "%sreadyz check passed\n", lines.String())
		default:
			_, _ = w.Write([]byte("ok"))
		}
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
