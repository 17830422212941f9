package awstest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MFACode is the one code every MFA device of the emulator shows.
const MFACode = "123456"

// maxChained is the longest session of a role assumed from another role's.
const maxChained = time.Hour

// getCallerIdentity needs no permission: whoever signs correctly is told who
// they are.
func (s *STS) getCallerIdentity(c caller, _ url.Values) (result, *apiError) {
	return &callerIdentity{Account: c.account, Arn: c.arn, UserID: c.userID}, nil
}

func (s *STS) assumeRole(c caller, params url.Values) (result, *apiError) {
	roleARN, sessionName := params.Get("RoleArn"), params.Get("RoleSessionName")
	lifetime, err := validateAssumeRole(params)
	if err != nil {
		return nil, err
	}

	// A role that doesn't exist and one that doesn't trust the caller are told
	// apart by nobody outside its account.
	notAuthorized := accessDenied(fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.arn, roleARN))
	if c.kind == "root" {
		return nil, accessDenied("Roles may not be assumed by root accounts.")
	}
	role, findErr := s.find(roleARN)
	switch {
	case findErr != nil, role.kind != "role", role.partition != c.partition,
		!role.role.trusts(c),
		role.role.ExternalID != "" && params.Get("ExternalId") != role.role.ExternalID:
		return nil, notAuthorized
	}
	if err := checkMFA(role.role, params, notAuthorized); err != nil {
		return nil, err
	}
	if c.kind == "role" && lifetime > maxChained {
		return nil, validationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	if lifetime > role.role.MaxSession {
		return nil, validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}

	creds := s.mint(role, sessionName, lifetime)
	return &assumedRole{creds: creds, id: role.id + ":" + sessionName}, nil
}

// validateAssumeRole checks the parameters' form and returns the duration asked
// for. STS lists every violation in one message.
func validateAssumeRole(params url.Values) (time.Duration, *apiError) {
	var wrong []string
	violation := func(param, value, constraint string) {
		wrong = append(wrong, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, param, constraint))
	}

	if arn := params.Get("RoleArn"); len(arn) < 20 {
		violation("roleArn", arn, "Member must have length greater than or equal to 20")
	} else if !strings.HasPrefix(arn, "arn:") {
		return 0, validationError(arn + " is invalid")
	}
	if name := params.Get("RoleSessionName"); !sessionNamePattern().MatchString(name) {
		switch {
		case len(name) < 2:
			violation("roleSessionName", name, "Member must have length greater than or equal to 2")
		case len(name) > 64:
			violation("roleSessionName", name, "Member must have length less than or equal to 64")
		default:
			violation("roleSessionName", name, `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
		}
	}
	seconds := 3600
	if v := params.Get("DurationSeconds"); v != "" {
		n, err := strconv.Atoi(v)
		switch {
		case err != nil:
			return 0, &apiError{http.StatusBadRequest, "MalformedInput", "DurationSeconds must be a number"}
		case n < 900:
			violation("durationSeconds", v, "Member must have value greater than or equal to 900")
		case n > 43200:
			violation("durationSeconds", v, "Member must have value less than or equal to 43200")
		}
		seconds = n
	}

	switch len(wrong) {
	case 0:
		return time.Duration(seconds) * time.Second, nil
	case 1:
		return 0, validationError("1 validation error detected: " + wrong[0])
	}
	return 0, validationError(fmt.Sprintf("%d validation errors detected: %s", len(wrong), strings.Join(wrong, "; ")))
}

// trusts reports whether the role's trust policy names the caller: itself, the
// role of its session, or its account. A federated user may call nothing in STS
// but GetCallerIdentity.
func (r Role) trusts(c caller) bool {
	if c.kind == "federated-user" {
		return false
	}
	return slices.ContainsFunc(r.TrustedPrincipals, func(trusted string) bool {
		switch trusted {
		case "*", c.account, "arn:" + c.partition + ":iam::" + c.account + ":root", c.arn, c.principal.arn:
			return true
		}
		return false
	})
}

func checkMFA(r Role, params url.Values, notAuthorized *apiError) *apiError {
	serial, code := params.Get("SerialNumber"), params.Get("TokenCode")
	switch {
	case serial == "" && code == "":
		if r.MFASerial != "" {
			return notAuthorized
		}
		return nil
	case serial == "" || code == "":
		return accessDenied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	case serial != r.MFASerial:
		return accessDenied("MultiFactorAuthentication failed, unable to validate MFA code.  " +
			"Please verify your MFA serial number is valid and associated with this user.")
	case code != MFACode:
		return accessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	return nil
}
