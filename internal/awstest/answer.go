package awstest

import (
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const xmlNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// apiError is an error as STS answers it.
type apiError struct {
	status  int
	code    string
	message string
}

func incompleteSignature(message string) *apiError {
	return &apiError{http.StatusBadRequest, "IncompleteSignature", message}
}

func signatureMismatch(message string) *apiError {
	return &apiError{http.StatusForbidden, "SignatureDoesNotMatch", message}
}

func invalidToken() *apiError {
	return &apiError{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid"}
}

func accessDenied(message string) *apiError {
	return &apiError{http.StatusForbidden, "AccessDenied", message}
}

func validationError(message string) *apiError {
	return &apiError{http.StatusBadRequest, "ValidationError", message}
}

func throttling() *apiError {
	return &apiError{http.StatusBadRequest, "Throttling", "Rate exceeded"}
}

// result is what an action answers, ready to be put into JSON or XML.
type result interface {
	json() any
	xml() any
}

// callerIdentity is the result of GetCallerIdentity.
type callerIdentity struct {
	Account string
	Arn     string
	UserID  string `json:"UserId" xml:"UserId"`
}

func (c *callerIdentity) json() any { return c }
func (c *callerIdentity) xml() any  { return c }

// assumedRole is the result of AssumeRole. JSON and XML differ in the form of
// the time: seconds since 1970 in the one, RFC 3339 in the other.
type assumedRole struct {
	creds Credentials
	id    string // unique ID of the role, colon, session name
}

func (a *assumedRole) json() any { return a.with(a.creds.Expiration.Unix()) }
func (a *assumedRole) xml() any  { return a.with(a.creds.Expiration.Format(time.RFC3339)) }

func (a *assumedRole) with(expiration any) any {
	type user struct {
		Arn           string
		AssumedRoleID string `json:"AssumedRoleId" xml:"AssumedRoleId"`
	}
	type credentials struct {
		AccessKeyID     string `json:"AccessKeyId" xml:"AccessKeyId"`
		Expiration      any
		SecretAccessKey string
		SessionToken    string
	}
	return struct {
		AssumedRoleUser user
		Credentials     credentials
	}{
		user{a.creds.ARN, a.id},
		credentials{a.creds.AccessKeyID, expiration, a.creds.SecretAccessKey, a.creds.SessionToken},
	}
}

// answer is a response, complete.
type answer struct {
	status      int
	contentType string
	requestID   string
	body        []byte
}

func (a answer) write(w http.ResponseWriter) {
	a.writeHeader(w)
	w.Write(a.body)
}

func (a answer) writeHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("X-Amzn-Requestid", a.requestID)
	w.WriteHeader(a.status)
}

// wantsJSON reports whether the request asks for JSON; STS answers in XML
// otherwise.
func wantsJSON(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		mediaType, _, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
			return true
		}
	}
	return false
}

func render(r result, action string, asJSON bool, requestID string) answer {
	a := answer{status: http.StatusOK, requestID: requestID}
	if asJSON {
		a.contentType = jsonType
		a.body = mustMarshal(json.Marshal(map[string]any{action + "Response": map[string]any{
			action + "Result":  r.json(),
			"ResponseMetadata": map[string]string{"RequestId": requestID},
		}}))
		return a
	}
	a.contentType = xmlType
	a.body = mustMarshal(xml.MarshalIndent(struct {
		XMLName  xml.Name
		Result   namedXML
		Metadata requestMetadata `xml:"ResponseMetadata"`
	}{
		XMLName:  xml.Name{Space: xmlNamespace, Local: action + "Response"},
		Result:   namedXML{action + "Result", r.xml()},
		Metadata: requestMetadata{requestID},
	}, "", "  "))
	return a
}

func renderError(e *apiError, asJSON bool, requestID string) answer {
	type body struct {
		Type, Code, Message string
	}
	type jsonBody struct {
		Code, Message, Type string
	}
	kind := "Sender"
	if e.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	a := answer{status: e.status, requestID: requestID}
	if asJSON {
		a.contentType = jsonType
		a.body = mustMarshal(json.Marshal(struct {
			Error     jsonBody
			RequestID string `json:"RequestId"`
		}{jsonBody{e.code, e.message, kind}, requestID}))
		return a
	}
	a.contentType = xmlType
	a.body = mustMarshal(xml.MarshalIndent(struct {
		XMLName   xml.Name
		Error     body
		RequestID string `xml:"RequestId"`
	}{xml.Name{Space: xmlNamespace, Local: "ErrorResponse"}, body{kind, e.code, e.message}, requestID}, "", "  "))
	return a
}

const (
	jsonType = "application/json"
	xmlType  = "text/xml"
)

type requestMetadata struct {
	RequestID string `xml:"RequestId"`
}

// namedXML is an element whose name is known only at run time.
type namedXML struct {
	name  string
	value any
}

func (n namedXML) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(n.value, xml.StartElement{Name: xml.Name{Local: n.name}})
}

// mustMarshal is for structs of strings and numbers, which always can be.
func mustMarshal(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func formatUUID(b [16]byte) string {
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
