package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"
)

// monitoring checks that the dashboard and the rules of deploy/monitoring name nothing that a server does not
// show at the URL of its metrics: metrics, their labels, and values of labels:
//
//	monitoring URL
func monitoring(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: monitoring URL")
	}
	server, err := scrape(args[0])
	ts.Check(err)
	queries, err := monitoringQueries(filepath.Join(repository, "deploy", "monitoring"))
	ts.Check(err)
	for _, q := range queries {
		for _, problem := range server.check(q) {
			ts.Logf("%s: %s", q.where, problem)
			err = fmt.Errorf("deploy/monitoring asks for what %s does not show", args[0])
		}
	}
	ts.Check(err)
	ts.Logf("%d queries name what is there", len(queries))
}

// monitoringQuery is a query of the dashboard or the rules.
type monitoringQuery struct {
	where string
	expr  string
	// record is the name that a recording rule gives the result.
	record string
	// labels are what is made of the result: a legend, annotations.
	labels []string
}

var (
	legendLabel     = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	annotationLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	// A variable's query is not PromQL.
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	intervals   = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h")
)

// monitoringQueries returns all queries, recording rules first.
func monitoringQueries(dir string) ([]monitoringQuery, error) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Record, Alert, Expr string
				Annotations         map[string]string
			}
		}
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "rules.yaml"))
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		return nil, err
	}
	if data, err = os.ReadFile(filepath.Join(dir, "dashboard.json")); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		return nil, err
	}

	var queries []monitoringQuery
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			q := monitoringQuery{where: "rule " + r.Record + r.Alert, expr: r.Expr, record: r.Record}
			for _, annotation := range r.Annotations {
				q.labels = append(q.labels, submatches(annotationLabel, annotation)...)
			}
			queries = append(queries, q)
		}
	}
	slices.SortStableFunc(queries, func(a, b monitoringQuery) int { return strings.Compare(b.record, a.record) })
	for _, v := range dashboard.Templating.List {
		if parts := labelValues.FindStringSubmatch(v.Definition); parts != nil {
			queries = append(queries, monitoringQuery{where: "variable " + v.Name, expr: parts[1], labels: parts[2:]})
		}
	}
	for _, panel := range dashboard.Panels {
		for _, t := range panel.Targets {
			queries = append(queries, monitoringQuery{
				where: "panel " + panel.Title, expr: intervals.Replace(t.Expr), labels: submatches(legendLabel, t.LegendFormat),
			})
		}
	}
	return queries, nil
}

func submatches(re *regexp.Regexp, s string) (found []string) {
	for _, match := range re.FindAllStringSubmatch(s, -1) {
		found = append(found, match[1])
	}
	return found
}

type labelSet map[string]bool

// Prometheus puts these on the series of a server.
var targetLabels = labelSet{"cluster": true, "job": true, "instance": true}

const metricName = "__name__"

// shown is what there is to be asked for.
type shown struct {
	series   map[string][]labels.Labels // of a metric
	recorded map[string]labelSet        // labels of what recording rules make
}

// scrape reads a server's metrics as Prometheus does.
func scrape(url string) (*shown, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	s := &shown{
		series:   map[string][]labels.Labels{"up": {labels.FromStrings(metricName, "up")}}, // Prometheus's own
		recorded: map[string]labelSet{},
	}
	p := textparse.NewPromParser(body, labels.NewSymbolTable(), false)
	for {
		switch entry, err := p.Next(); {
		case err == io.EOF:
			return s, nil
		case err != nil:
			return nil, fmt.Errorf("metrics: %w", err)
		case entry == textparse.EntrySeries:
			var l labels.Labels
			p.Labels(&l)
			s.series[l.Get(metricName)] = append(s.series[l.Get(metricName)], l)
		}
	}
}

// check returns what a query names that is not there.
func (s *shown) check(q monitoringQuery) (problems []string) {
	expr, err := parser.ParseExpr(q.expr)
	if err != nil {
		return []string{err.Error()}
	}
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			s.checkSelector(n, complain)
		case *parser.AggregateExpr:
			needs(s.labelsOf(n.Expr), n.Grouping, n, complain)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				both := union(s.labelsOf(n.LHS), s.labelsOf(n.RHS))
				needs(both, n.VectorMatching.MatchingLabels, n, complain)
			}
		}
		return nil
	})
	result := s.labelsOf(expr)
	needs(result, q.labels, expr, complain)
	if q.record != "" {
		s.recorded[q.record] = result
	}
	return problems
}

func needs(have labelSet, names []string, what parser.Node, complain func(string, ...any)) {
	for _, name := range names {
		if !have[name] {
			complain("no label %s in %s", name, what)
		}
	}
}

// checkSelector wants one series, at least, that a selector selects, and labels that are there, also those that
// a series must not have.
func (s *shown) checkSelector(v *parser.VectorSelector, complain func(string, ...any)) {
	have := s.labelsOf(v)
	if have == nil {
		complain("no metric %s", v.Name)
		return
	}
	var own []*labels.Matcher
	for _, m := range v.LabelMatchers {
		if !have[m.Name] && m.Name != metricName {
			complain("no label %s in %s", m.Name, v)
		}
		if !targetLabels[m.Name] {
			own = append(own, m)
		}
	}
	if s.recorded[v.Name] == nil && !slices.ContainsFunc(s.series[v.Name], func(l labels.Labels) bool {
		return !slices.ContainsFunc(own, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
	}) {
		complain("no series for %s", v)
	}
}

// labelsOf returns the labels that the result of an expression can have, nil for a metric that is not there.
func (s *shown) labelsOf(expr parser.Expr) labelSet {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		if recorded := s.recorded[e.Name]; recorded != nil {
			return recorded
		}
		if s.series[e.Name] == nil {
			return nil
		}
		all := maps.Clone(targetLabels)
		for _, l := range s.series[e.Name] {
			l.Range(func(l labels.Label) { all[l.Name] = true })
		}
		return all
	case *parser.MatrixSelector:
		return s.labelsOf(e.VectorSelector)
	case *parser.ParenExpr:
		return s.labelsOf(e.Expr)
	case *parser.AggregateExpr:
		result := maps.Clone(s.labelsOf(e.Expr))
		maps.DeleteFunc(result, func(name string, _ bool) bool { return slices.Contains(e.Grouping, name) == e.Without })
		return result
	case *parser.BinaryExpr:
		if e.Op == parser.LOR || e.LHS.Type() == parser.ValueTypeScalar {
			return union(s.labelsOf(e.LHS), s.labelsOf(e.RHS))
		}
		return s.labelsOf(e.LHS)
	case *parser.Call:
		result := labelSet{}
		if e.Func.Name == "absent" {
			return result
		}
		for _, arg := range e.Args {
			result = union(result, s.labelsOf(arg))
		}
		if e.Func.Name == "histogram_quantile" {
			delete(result, "le")
		}
		return result
	default: // numbers
		return labelSet{}
	}
}

func union(a, b labelSet) labelSet {
	all := labelSet{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}
