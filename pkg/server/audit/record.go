package audit

import (
	"strconv"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/internal/jsontext"
)

// Version is the version of the schema. Fields may be added under the same version;
// it changes when one changes its meaning.
const Version = 1

// Record is one login decision. Fields that are empty are left out of the line.
type Record struct {
	Version int         `json:"v"`
	ID      string      `json:"id,omitempty"` // of the record; unique among all servers
	Time    time.Time   `json:"time"`         // of the decision, RFC 3339 in UTC with nanoseconds
	Outcome string      `json:"outcome,omitempty"`
	Reason  reason.Code `json:"reason,omitempty"`

	Principal   string `json:"principal,omitempty"` // canonical ARN
	ARN         string `json:"arn,omitempty"`       // as STS gave it
	Account     string `json:"account,omitempty"`
	SessionName string `json:"sessionName,omitempty"`
	PrincipalID string `json:"principalId,omitempty"` // unique ID ("AIDA…", "AROA…")
	AccessKeyID string `json:"accessKeyId,omitempty"`

	Mapper   string   `json:"mapper,omitempty"` // the source that decided
	Entry    string   `json:"entry,omitempty"`  // where in it the mapping stands
	Username string   `json:"username,omitempty"`
	Groups   []string `json:"groups,omitempty"`

	// Source says where the identity is known from: sts, shared, cache or stale.
	Source       string `json:"source,omitempty"`
	STSRegion    string `json:"stsRegion,omitempty"`
	STSRequestID string `json:"stsRequestId,omitempty"`

	LatencyMicros int64  `json:"latencyMicros"` // from TokenReview to decision
	TokenHash     string `json:"tokenHash,omitempty"`
	Remote        string `json:"remote,omitempty"` // address and port of the API server
}

// timeFormat has always nine digits, so that lines sort as text.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

// appendTo appends the record as one line of JSON. It writes what json.Marshal would,
// at a fraction of the cost.
func (r *Record) appendTo(b []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(r.Version), 10)
	b = appendField(b, "id", r.ID)
	b = append(b, `,"time":"`...)
	b = r.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, '"')
	b = appendField(b, "outcome", r.Outcome)
	b = appendField(b, "reason", string(r.Reason))
	b = appendField(b, "principal", r.Principal)
	b = appendField(b, "arn", r.ARN)
	b = appendField(b, "account", r.Account)
	b = appendField(b, "sessionName", r.SessionName)
	b = appendField(b, "principalId", r.PrincipalID)
	b = appendField(b, "accessKeyId", r.AccessKeyID)
	b = appendField(b, "mapper", r.Mapper)
	b = appendField(b, "entry", r.Entry)
	b = appendField(b, "username", r.Username)
	if len(r.Groups) > 0 {
		b = append(b, `,"groups":`...)
		before := byte('[')
		for _, group := range r.Groups {
			b = jsontext.AppendString(append(b, before), group)
			before = ','
		}
		b = append(b, ']')
	}
	b = appendField(b, "source", r.Source)
	b = appendField(b, "stsRegion", r.STSRegion)
	b = appendField(b, "stsRequestId", r.STSRequestID)
	b = append(b, `,"latencyMicros":`...)
	b = strconv.AppendInt(b, r.LatencyMicros, 10)
	b = appendField(b, "tokenHash", r.TokenHash)
	b = appendField(b, "remote", r.Remote)
	return append(b, "}\n"...)
}

// appendField appends a field unless its value is empty.
func appendField(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, key...)
	b = append(b, `":`...)
	return jsontext.AppendString(b, value)
}
