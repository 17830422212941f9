package main

// rows returns what the dashboard shows, from what everybody wants to know first to
// what is of interest when something is wrong.
func rows() []row {
	return []row{
		{"Is all well?", []panel{
			{
				title: "Logins granted", kind: stat, width: 3, unit: "reqps", decimals: 2,
				description: "Granted by all servers that are selected, per second. The API servers have caches of their own: it is no number of kubectl commands.",
				queries:     []query{{`sum(rate(iam_authenticator_logins_total{outcome="granted"}[$__rate_interval]))`, ""}},
			},
			{
				title: "Logins without an answer", kind: stat, width: 3, unit: "percentunit", decimals: 1,
				color: "green", steps: []step{{0.01, "orange"}, {0.05, "red"}},
				description: "Which part of the logins that could have been granted got a 503, at the server where it is worst.",
				queries:     []query{{`max(instance:iam_authenticator_logins_unavailable:ratio_rate5m{})`, ""}},
			},
			{
				title: "Servers", kind: stat, width: 3,
				description: "Authenticators that answer Prometheus.",
				queries:     []query{{`count(iam_authenticator_build_info{})`, ""}},
			},
			{
				title: "STS endpoints down", kind: stat, width: 3,
				color: "green", steps: []step{{1, "red"}},
				description: "Endpoints that answered before and don't now, at the server that has most of them.",
				queries: []query{{
					`max(count without (endpoint) (iam_authenticator_sts_endpoint_up{} == 0 and iam_authenticator_sts_endpoint_last_answer_timestamp_seconds{} > 0)) or vector(0)`, "",
				}},
			},
			{
				title: "Sources not in force", kind: stat, width: 3,
				color: "green", steps: []step{{1, "red"}},
				description: "Sources of mappings that were never read, or of which not all is in force, at the server that has most of them.",
				queries:     []query{{`max(count without (mapper) (iam_authenticator_mapper_ready{} == 0 or iam_authenticator_mapper_up_to_date{} == 0)) or vector(0)`, ""}},
			},
			{
				title: "Entries skipped", kind: stat, width: 3,
				color: "green", steps: []step{{1, "orange"}},
				description: "Mappings with a mistake in them, at the server that has most of them. Whom they name is denied. authenticator lint --live names them.",
				queries:     []query{{`max(sum without (mapper) (iam_authenticator_mapper_problems{severity="skipped"}))`, ""}},
			},
			{
				title: "Certificate ends in", kind: stat, width: 3, unit: "s", decimals: 1,
				color: "red", steps: []step{{2 * day, "orange"}, {14 * day, "green"}},
				description: "Until the first certificate of a server ends. Those of our own are renewed 30 days before.",
				queries:     []query{{`min(iam_authenticator_certificate_expiry_timestamp_seconds{}) - time()`, ""}},
			},
			{
				title: "Break-glass logins", kind: stat, width: 3,
				color: "green", steps: []step{{0.5, "red"}},
				description: "Logins of bootstrap administrators, in the time that is shown.",
				queries:     []query{{`sum(increase(iam_authenticator_break_glass_logins_total{}[$__range]))`, ""}},
			},
		}},
		{"Logins", []panel{
			{
				title: "Logins by outcome", kind: timeseries, width: 12, unit: "reqps", decimals: 2, stacked: true,
				description: "Granted; rejected for good; denied, which a change of mappings could mend; unavailable, which got a 503. Without tokens that are not ours.",
				queries:     []query{{`sum by (outcome) (rate(iam_authenticator_logins_total{reason!="ForeignToken"}[$__rate_interval]))`, "{{outcome}}"}},
			},
			{
				title: "Refused by reason", kind: timeseries, width: 12, unit: "reqps", decimals: 2, stacked: true,
				description: "What each reason code means, and what to do, is in docs/operations.md.",
				queries:     []query{{`sum by (reason) (rate(iam_authenticator_logins_total{outcome!="granted",reason!="ForeignToken"}[$__rate_interval])) > 0`, "{{reason}}"}},
			},
			{
				title: "Time of granted logins", kind: timeseries, width: 8, unit: "s", decimals: 1,
				description: "From a TokenReview to its decision. Logins that are remembered take well under a millisecond, others wait for STS.",
				queries: []query{
					{`histogram_quantile(0.5, sum by (le) (rate(iam_authenticator_login_duration_seconds_bucket{outcome="granted"}[$__rate_interval])))`, "half of them"},
					{`histogram_quantile(0.9, sum by (le) (rate(iam_authenticator_login_duration_seconds_bucket{outcome="granted"}[$__rate_interval])))`, "9 of 10"},
					{`histogram_quantile(0.99, sum by (le) (rate(iam_authenticator_login_duration_seconds_bucket{outcome="granted"}[$__rate_interval])))`, "99 of 100"},
				},
			},
			{
				title: "Logins in flight", kind: timeseries, width: 8,
				description: "Logins that are being decided, and of those the ones that wait for STS: 2,000 at most, by server.",
				queries: []query{
					{`iam_authenticator_logins_in_flight{}`, "{{instance}} in flight"},
					{`iam_authenticator_sts_waiting_logins{}`, "{{instance}} wait for STS"},
				},
			},
			{
				title: "Other requests", kind: timeseries, width: 8, unit: "reqps", decimals: 2,
				description: "Tokens that are not ours, such as those of service accounts, which is ordinary; and requests that were no TokenReviews, which is not.",
				queries: []query{
					{`sum(rate(iam_authenticator_logins_total{reason="ForeignToken"}[$__rate_interval]))`, "foreign tokens"},
					{`sum by (status) (rate(iam_authenticator_bad_requests_total{}[$__rate_interval]))`, "bad requests: {{status}}"},
				},
			},
		}},
		{"STS", []panel{
			{
				title: "Calls by answer", kind: timeseries, width: 8, unit: "reqps", decimals: 2, stacked: true,
				description: "Granted means that STS named the caller. STSThrottled and STSUnreachable are STS's own trouble.",
				queries:     []query{{`sum by (reason) (rate(iam_authenticator_sts_calls_total{}[$__rate_interval]))`, "{{reason}}"}},
			},
			{
				title: "Time of a call", kind: timeseries, width: 8, unit: "s", decimals: 1,
				description: "Until STS has answered, by region.",
				queries: []query{
					{`histogram_quantile(0.5, sum by (le, region) (rate(iam_authenticator_sts_call_duration_seconds_bucket{}[$__rate_interval])))`, "half of them, {{region}}"},
					{`histogram_quantile(0.99, sum by (le, region) (rate(iam_authenticator_sts_call_duration_seconds_bucket{}[$__rate_interval])))`, "99 of 100, {{region}}"},
				},
			},
			{
				title: "Endpoints up", kind: timeseries, width: 8, between: []float64{0, 1}, decimals: 2,
				description: "Which part of the servers gets answers from an endpoint. One that never answered counts as down; anybody can name it in a token.",
				queries:     []query{{`avg by (endpoint) (iam_authenticator_sts_endpoint_up{})`, "{{endpoint}}"}},
			},
			{
				title: "Share of the rate", kind: timeseries, width: 8, unit: "percentunit", between: []float64{0, 1},
				description: "What is left of server.stsQps to an endpoint after it has throttled, at the server where that is least.",
				queries:     []query{{`min by (endpoint) (iam_authenticator_sts_endpoint_rate_share{})`, "{{endpoint}}"}},
			},
			{
				title: "Calls under way", kind: timeseries, width: 8,
				description: "Calls in flight, and those that wait for their turn.",
				queries: []query{
					{`sum(iam_authenticator_sts_calls_in_flight{})`, "in flight"},
					{`sum(iam_authenticator_sts_calls_queued{})`, "queued"},
				},
			},
			{
				title: "Calls not made", kind: timeseries, width: 8, unit: "reqps", decimals: 2, stacked: true,
				description: "Logins that were shed, by the bound that was met; \"throttled\": STS throttles the account of the access key.",
				queries:     []query{{`sum by (cause) (rate(iam_authenticator_sts_calls_shed_total{}[$__rate_interval])) > 0`, "{{cause}}"}},
			},
		}},
		{"Remembered tokens", []panel{
			{
				title: "Hit ratio", kind: timeseries, width: 8, unit: "percentunit", between: []float64{0, 1}, decimals: 1,
				description: "Which part of the tokens needed no call of its own to STS.",
				queries:     []query{{`instance:iam_authenticator_verifications_remembered:ratio_rate5m{}`, "{{instance}}"}},
			},
			{
				title: "Where tokens are known from", kind: timeseries, width: 8, unit: "reqps", decimals: 2, stacked: true,
				description: "Asked now, with another request, remembered, or remembered for longer because STS can't be asked (stale).",
				queries:     []query{{`sum by (source) (rate(iam_authenticator_verifications_total{}[$__rate_interval]))`, "{{source}}"}},
			},
			{
				title: "Tokens remembered", kind: timeseries, width: 8,
				description: "By kind: of mapped callers, of others, and refused ones. Evicted: forgotten early for want of room, per second.",
				queries: []query{
					{`sum by (kind) (iam_authenticator_token_cache_entries{})`, "{{kind}}"},
					{`sum by (kind) (rate(iam_authenticator_token_cache_evicted_total{}[$__rate_interval])) > 0`, "{{kind}}, evicted"},
				},
			},
		}},
		{"Mappings", []panel{
			{
				title: "Mappings in force", kind: timeseries, width: 6,
				description: "By source. Servers of one cluster should have the same.",
				queries:     []query{{`iam_authenticator_mapper_entries{}`, "{{mapper}} {{instance}}"}},
			},
			{
				title: "Mistakes", kind: timeseries, width: 6,
				description: "Entries that were skipped, or are doubtful (warning).",
				queries:     []query{{`max by (mapper, severity) (iam_authenticator_mapper_problems{})`, "{{mapper}} {{severity}}"}},
			},
			{
				title: "Up to date", kind: timeseries, width: 6, between: []float64{0, 1},
				description: "1 if all of what a source says is in force, 0 if it was never read or the last good state is in force.",
				queries:     []query{{`iam_authenticator_mapper_ready{} * iam_authenticator_mapper_up_to_date{}`, "{{mapper}} {{instance}}"}},
			},
			{
				title: "Age", kind: timeseries, width: 6, unit: "s",
				description: "Since the mappings in force were read. Files and aws-auth are read when they change: a great age is no harm as long as they are up to date.",
				queries:     []query{{`time() - (iam_authenticator_mapper_last_load_timestamp_seconds{} > 0)`, "{{mapper}} {{instance}}"}},
			},
		}},
		{"Audit and break glass", []panel{
			{
				title: "Audit records", kind: timeseries, width: 12, unit: "reqps", decimals: 2,
				description: "Records written, and those that could not be, which are lost. Without server.audit.path there are none.",
				queries: []query{
					{`sum(rate(iam_authenticator_audit_records_total{}[$__rate_interval]))`, "written"},
					{`sum(rate(iam_authenticator_audit_errors_total{}[$__rate_interval]))`, "lost"},
				},
			},
			{
				title: "Break-glass logins", kind: timeseries, width: 12, decimals: 0,
				description: "Logins of server.bootstrapAdmin, since the server started.",
				queries:     []query{{`iam_authenticator_break_glass_logins_total{}`, "{{instance}}"}},
			},
		}},
		{"Process", []panel{
			{
				title: "CPU", kind: timeseries, width: 6, decimals: 2,
				description: "Cores in use.",
				queries:     []query{{`rate(process_cpu_seconds_total{}[$__rate_interval])`, "{{instance}}"}},
			},
			{
				title: "Memory", kind: timeseries, width: 6, unit: "bytes",
				description: "What the process has of the machine's memory, and what its Go objects take. Garbage is collected when 128 MiB have come together.",
				queries: []query{
					{`process_resident_memory_bytes{}`, "{{instance}}"},
					{`go_memstats_heap_alloc_bytes{}`, "{{instance}}, heap"},
				},
			},
			{
				title: "Goroutines", kind: timeseries, width: 6,
				description: "One or more per request in flight; a line that only climbs is a defect.",
				queries:     []query{{`go_goroutines{}`, "{{instance}}"}},
			},
			{
				title: "Open files", kind: timeseries, width: 6, unit: "percentunit", decimals: 1,
				description: "Which part of the files and connections that the process may open is open.",
				queries:     []query{{`process_open_fds{} / process_max_fds{}`, "{{instance}}"}},
			},
			{
				title: "Pauses of garbage collection", kind: timeseries, width: 12, unit: "s", decimals: 1,
				description: "The longest one of late.",
				queries:     []query{{`max without (quantile) (go_gc_duration_seconds{})`, "{{instance}}"}},
			},
			{
				title: "Versions", kind: table, width: 12,
				description: "What runs where.",
				queries:     []query{{`max by (instance, version, revision, go_version) (iam_authenticator_build_info{})`, ""}},
			},
		}},
	}
}

const day = 86400 // seconds
