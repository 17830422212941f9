package access

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/internal/redact"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
)

// Denial is a login that was not granted, as a line of the server's JSON log or a
// record of its audit file says.
type Denial struct {
	Time        time.Time   `json:"time"`
	Outcome     string      `json:"outcome"`
	Reason      reason.Code `json:"reason"`
	Detail      string      `json:"detail,omitempty"`
	ARN         string      `json:"arn,omitempty"` // as STS gave it
	PrincipalID string      `json:"principalId,omitempty"`
	AccessKeyID string      `json:"accessKeyId,omitempty"`
	Remote      string      `json:"remote,omitempty"` // where the request came from
}

// maxLine bounds a line of a log, in bytes.
const maxLine = 1 << 20

// ReadDenials returns the last denials, newest first, and how many lines are not
// JSON, or too long. It is an error if there are lines and none is.
func ReadDenials(r io.Reader, last int) (denials []Denial, unread int, err error) {
	buffered := bufio.NewReader(r)
	read := 0
	for ended := false; !ended; {
		line, err := readLine(buffered)
		if ended = errors.Is(err, io.EOF); err != nil && !ended {
			return nil, unread, err
		}
		if len(line) == 0 {
			continue
		}
		var d Denial
		if len(line) > maxLine || json.Unmarshal(line, &d) != nil {
			unread++
			continue
		}
		read++
		if d.Reason == "" || d.Reason == reason.Granted || !slices.Contains([]string{"rejected", "denied", "unavailable"}, d.Outcome) {
			continue
		}
		denials = append(denials, d.clean())
		if len(denials) > last {
			denials = slices.Delete(denials, 0, 1)
		}
	}
	if read == 0 && unread > 0 {
		return nil, unread, errors.New("none of its lines is JSON: run the server with --log-format json")
	}
	slices.Reverse(denials)
	return denials, unread, nil
}

// readLine returns the next line without the blanks around it. One of more than maxLine
// bytes is cut behind these.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(line), err
		}
	}
}

// clean returns the denial without what a terminal would obey or nobody may see, which
// no log has, but a file that was taken for one may.
func (d Denial) clean() Denial {
	text := func(s string) string { return printable(redact.Text(s)) }
	return Denial{
		Time: d.Time, Outcome: d.Outcome, Reason: reason.Code(text(string(d.Reason))), Detail: text(d.Detail),
		ARN: text(d.ARN), PrincipalID: text(d.PrincipalID), AccessKeyID: text(d.AccessKeyID), Remote: text(d.Remote),
	}
}

// ExplainDenial explains how the caller of a denial would fare now. A login that ended
// before its caller was known stays as it ended. Where a record has a pseudonym, what
// depends on the name is not decided.
func (s *Sources) ExplainDenial(ctx context.Context, d Denial) Explanation {
	e := Explanation{Denial: &d}
	id, err := d.identity()
	if err != nil {
		err := &reason.Error{Code: d.Reason, Detail: strings.TrimPrefix(d.Detail, string(d.Reason)+": ")}
		e.fail("token", err)
		return e
	}
	pseudonym := audit.IsPseudonym(cmp.Or(id.SessionName, id.Name))
	switch {
	case id.Kind == iam.Role:
		e.decide(ctx, s, id, assumption{session: pseudonym, pseudonym: pseudonym})
	case pseudonym:
		e.fail("principal", reason.New(Undecided, "the record has a pseudonym in the place of the name of the %s: explain it with --arn ARN", id.Kind))
	default:
		e.decide(ctx, s, id, assumption{})
	}
	return e
}

// identity returns the caller, of whom a log has all that STS said.
func (d Denial) identity() (iam.Identity, error) {
	p, err := iam.ParsePrincipal(d.ARN)
	if err != nil {
		return iam.Identity{}, err
	}
	userID := d.PrincipalID
	switch p.Kind {
	case iam.Role:
		userID += ":" + p.SessionName
	case iam.FederatedUser:
		userID += ":" + p.Name
	}
	id, err := iam.NewIdentity(d.ARN, p.Account, userID, d.AccessKeyID)
	if err != nil {
		return id, fmt.Errorf("denial of %s: %w", d.Time.Format(time.RFC3339), err)
	}
	return id, nil
}
