package main

import (
	"cmp"
	"fmt"
	"strings"
)

// object is a piece of Grafana's JSON, whose keys encoding/json sorts.
type object map[string]any

// A row is a heading of the dashboard, and the panels below it.
type row struct {
	title  string
	panels []panel
}

// A panel shows the results of queries.
type panel struct {
	title, description string
	kind               kind
	width              int    // of 24
	unit               string // of Grafana's; empty for plain numbers
	decimals           int
	color              string // of a stat; blue if empty
	steps              []step // and from a value on
	stacked            bool
	// between is the range of the axis, if it is known; empty for from 0.
	between []float64
	queries []query
}

type kind string

const (
	stat       kind = "stat"       // one number
	timeseries kind = "timeseries" // lines
	table      kind = "table"      // a row per series, of now
)

type step struct {
	from  float64
	color string
}

// A query is PromQL, in which {} stands for the selected servers and {NAME="…"} for
// those and one more matcher, and the legend of its series.
type query struct {
	expr, legend string
}

const (
	columns     = 24
	statHeight  = 4
	graphHeight = 8
)

// servers selects what the variables of the dashboard say. Metrics without the label
// cluster match the regular expression of "All".
const servers = `cluster=~"$cluster",job=~"$job",instance=~"$instance"`

// selected puts the selection of servers into each selector of a query.
func selected(expr string) string {
	expr = strings.ReplaceAll(expr, "{", "{"+servers+",")
	return strings.ReplaceAll(expr, ",}", "}")
}

// datasource is what the variable of that name says.
func datasource() object { return object{"type": "prometheus", "uid": "${datasource}"} }

// dashboard returns the dashboard in the schema of Grafana 11 and 12.
func dashboard() object {
	var panels []object
	y := 0
	add := func(p object, x, width, height int) {
		p["id"] = len(panels) + 1
		p["gridPos"] = object{"x": x, "y": y, "w": width, "h": height}
		panels = append(panels, p)
	}
	for _, r := range rows() {
		add(object{"type": "row", "title": r.title, "collapsed": false, "panels": []object{}}, 0, columns, 1)
		y++
		x, height := 0, 0
		for _, p := range r.panels {
			if x+p.width > columns {
				x, y = 0, y+height
			}
			height = graphHeight
			if p.kind == stat {
				height = statHeight
			}
			add(p.object(), x, p.width, height)
			x += p.width
		}
		y += height
	}
	return object{
		"uid":           "iam-authenticator",
		"title":         "IAM authenticator",
		"description":   "AWS IAM authentication for Kubernetes: who gets in, who does not and why, and how STS and the mappings do.",
		"tags":          []string{"kubernetes", "authentication", "aws"},
		"schemaVersion": 39,
		"version":       1,
		"editable":      true,
		"graphTooltip":  1, // the crosshair is shared
		"refresh":       "30s",
		"time":          object{"from": "now-6h", "to": "now"},
		"timezone":      "browser",
		"annotations":   object{"list": []object{}},
		"links": []object{{
			"title": "Runbooks", "type": "link", "icon": "doc", "tooltip": "What to do about each alert", "targetBlank": true,
			"url":        "https://github.com/iam-authenticator/authenticator/blob/main/docs/alerts.md",
			"asDropdown": false, "includeVars": false, "keepTime": false, "tags": []string{},
		}},
		"templating": object{"list": []object{
			{
				"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
				"hide": 0, "includeAll": false, "multi": false, "refresh": 1, "regex": "",
			},
			variable("cluster", "Cluster", ""),
			variable("job", "Job", `cluster=~"$cluster"`),
			variable("instance", "Server", `cluster=~"$cluster",job=~"$job"`),
		}},
		"panels": panels,
	}
}

// variable is a label of the servers to choose from, among those that match.
func variable(label, title, matchers string) object {
	values := fmt.Sprintf("label_values(iam_authenticator_build_info{%s}, %s)", matchers, label)
	return object{
		"name": label, "label": title, "type": "query", "datasource": datasource(),
		"definition": values, "query": object{"query": values, "refId": "variable"},
		"current": object{"text": "All", "value": "$__all"}, "includeAll": true, "allValue": ".*", "multi": true,
		"hide": 0, "refresh": 2, "sort": 1, "regex": "",
	}
}

func (p panel) object() object {
	targets := make([]object, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{
			"refId": string(rune('A' + i)), "datasource": datasource(), "editorMode": "code",
			"expr": selected(q.expr), "legendFormat": q.legend, "range": true,
		}
	}
	defaults := object{"unit": p.unit, "decimals": p.decimals, "color": object{"mode": "palette-classic"}}
	if p.between != nil {
		defaults["min"], defaults["max"] = p.between[0], p.between[1]
	}
	o := object{
		"type": string(p.kind), "title": p.title, "description": p.description, "datasource": datasource(),
		"targets": targets, "fieldConfig": object{"defaults": defaults, "overrides": []object{}},
	}
	switch p.kind {
	case stat:
		steps := []object{{"value": nil, "color": cmp.Or(p.color, "blue")}}
		for _, s := range p.steps {
			steps = append(steps, object{"value": s.from, "color": s.color})
		}
		defaults["color"] = object{"mode": "thresholds"}
		defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
		o["options"] = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "area", "textMode": "auto", "orientation": "auto", "justifyMode": "auto",
		}
	case timeseries:
		if p.between == nil {
			defaults["min"] = 0
		}
		custom := object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false}
		if p.stacked {
			custom["fillOpacity"] = 40
			custom["stacking"] = object{"mode": "normal", "group": "A"}
		}
		defaults["custom"] = custom
		o["options"] = object{
			"legend":  object{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	case table:
		for _, target := range targets {
			target["format"], target["instant"], target["range"] = "table", true, false
		}
		o["options"] = object{"showHeader": true}
		o["transformations"] = []object{{
			"id":      "organize",
			"options": object{"excludeByName": object{"Time": true, "Value": true, "__name__": true}},
		}}
	}
	return o
}
