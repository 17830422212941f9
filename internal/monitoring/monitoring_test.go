package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	deployed = "../../deploy/monitoring"
	runbooks = "../../docs/alerts.md"
)

type rule struct {
	Alert       string
	Labels      map[string]string
	Annotations map[string]string
}

// alerts returns the alerting rules.
func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	read(t, filepath.Join(deployed, "rules.yaml"), &file)
	var rules []rule
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if r.Alert != "" {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAlertsSayWhatIsWrongWhereAndWhatToDo(t *testing.T) {
	for _, r := range alerts(t) {
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q, want critical or warning", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary or no description", r.Alert)
		}
		if r.Alert != "IAMAuthenticatorAbsent" && !strings.Contains(r.Annotations["description"], "{{ $labels.instance }}") {
			t.Errorf("%s: the description doesn't name the server", r.Alert)
		}
		want := "https://github.com/iam-authenticator/authenticator/blob/main/docs/alerts.md#" + strings.ToLower(r.Alert)
		if url := r.Annotations["runbook_url"]; url != want {
			t.Errorf("%s: runbook_url %s, want %s", r.Alert, url, want)
		}
	}
}

func TestEachAlertHasARunbook(t *testing.T) {
	doc, err := os.ReadFile(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(doc), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	for _, r := range alerts(t) {
		for _, part := range []string{"**Means:**", "**People see:**", "**Look:**", "**Mend:**"} {
			if !strings.Contains(sections[r.Alert], part) {
				t.Errorf("docs/alerts.md: the section %s has no %s", r.Alert, part)
			}
		}
	}
	for title := range sections {
		if !slices.ContainsFunc(alerts(t), func(r rule) bool { return r.Alert == title }) {
			t.Errorf("docs/alerts.md: there is no alert %s", title)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(string(doc), -1) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(sections)), func(title string) bool { return strings.ToLower(title) == link[1] }) {
			t.Errorf("docs/alerts.md: a link leads to #%s, which is not there", link[1])
		}
	}
}

// Whether the tests hold is for promtool to say.
func TestEachAlertIsTestedBothToFireAndNot(t *testing.T) {
	var file struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []struct {
					ExpLabels map[string]string `json:"exp_labels"`
				} `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	read(t, filepath.Join(deployed, "rules_test.yaml"), &file)
	fires, silent := map[string]bool{}, map[string]bool{} // by name and severity; by name
	for _, test := range file.Tests {
		for _, alert := range test.AlertRuleTest {
			for _, expected := range alert.ExpAlerts {
				fires[alert.Alertname+" "+expected.ExpLabels["severity"]] = true
			}
			if len(alert.ExpAlerts) == 0 {
				silent[alert.Alertname] = true
			}
		}
	}
	for _, r := range alerts(t) {
		if !fires[r.Alert+" "+r.Labels["severity"]] || !silent[r.Alert] {
			t.Errorf("%s (%s): rules_test.yaml lacks a time when it fires, or one when it doesn't", r.Alert, r.Labels["severity"])
		}
	}
}

func TestPanelsExplainThemselvesAndDoNotOverlap(t *testing.T) {
	taken := map[[2]int]string{}
	for _, p := range dashboard()["panels"].([]object) {
		title := p["title"].(string)
		if p["type"] != "row" {
			if description, _ := p["description"].(string); !strings.HasSuffix(description, ".") {
				t.Errorf("%s: the description %q is no sentence", title, description)
			}
			if len(p["targets"].([]object)) == 0 {
				t.Errorf("%s: nothing to show", title)
			}
		}
		at := p["gridPos"].(object)
		for x := at["x"].(int); x < at["x"].(int)+at["w"].(int); x++ {
			for y := at["y"].(int); y < at["y"].(int)+at["h"].(int); y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= columns {
					t.Fatalf("%s is drawn over %q, or beyond the edge", title, other)
				}
				taken[[2]int{x, y}] = title
			}
		}
	}
}

func TestSelectorsSelectTheServersThatWereChosen(t *testing.T) {
	got := selected(`sum(a{}) / b{c="d"}`)
	want := `sum(a{cluster=~"$cluster",job=~"$job",instance=~"$instance"}) / b{cluster=~"$cluster",job=~"$job",instance=~"$instance",c="d"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, r := range rows() {
		for _, p := range r.panels {
			for _, q := range p.queries {
				if bare := regexp.MustCompile(`iam_authenticator_\w+[^{\w:]`).FindString(q.expr); bare != "" {
					t.Errorf("%s: %s selects all servers", p.title, bare)
				}
			}
		}
	}
}
