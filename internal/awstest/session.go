package awstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// caller is whose key signed a request.
type caller struct {
	kind      string // user, role (a session of it), root, federated-user
	arn       string // as GetCallerIdentity answers it
	userID    string
	partition string
	account   string
	principal *principal // nil for a federated user
}

// session is what a session token carries. The tokens are sealed and complete
// in themselves, as STS's are: the emulator keeps no table of sessions, so
// minting many costs no memory.
type session struct {
	KeyID, Secret     string
	Kind, ARN, UserID string
	PrincipalARN      string // of the role
	PrincipalID       string // stops working when the role is recreated
	Partition         string
	Account           string
	Expires           int64 // seconds since 1970
}

// sealer encrypts session tokens with a key of its own.
type sealer struct{ aead cipher.AEAD }

func newSealer() *sealer {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of the wrong length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block that isn't AES
	}
	return &sealer{aead}
}

// mint returns a session of a role.
func (s *STS) mint(role *principal, name string, lifetime time.Duration) Credentials {
	return s.seal(caller{
		kind:      "role",
		arn:       "arn:" + role.partition + ":sts::" + role.account + ":assumed-role/" + role.name + "/" + name,
		userID:    role.id + ":" + name,
		partition: role.partition,
		account:   role.account,
		principal: role,
	}, lifetime)
}

func (s *STS) seal(c caller, lifetime time.Duration) Credentials {
	expires := s.now().Add(lifetime).UTC().Truncate(time.Second)
	ses := session{
		KeyID: newKeyID("ASIA"), Secret: newSecret(),
		Kind: c.kind, ARN: c.arn, UserID: c.userID, Partition: c.partition, Account: c.account,
		Expires: expires.Unix(),
	}
	if c.principal != nil {
		ses.PrincipalARN, ses.PrincipalID = c.principal.arn, c.principal.id
	}
	plain, err := json.Marshal(ses)
	if err != nil {
		panic(err) // strings and a number can always be marshalled
	}
	return Credentials{
		AccessKeyID:     ses.KeyID,
		SecretAccessKey: ses.Secret,
		SessionToken:    base64.StdEncoding.EncodeToString(s.sealer.aead.Seal(nil, nil, plain, nil)),
		Expiration:      expires,
		ARN:             c.arn,
	}
}

// lookup returns whose access key it is, and its secret. A long-term key must
// come without a session token, a temporary one with its own.
func (s *STS) lookup(keyID, token string, now time.Time) (caller, string, *apiError) {
	if token == "" {
		s.mu.RLock()
		defer s.mu.RUnlock()
		k, ok := s.keys[keyID]
		if !ok || k.inactive {
			return caller{}, "", invalidToken()
		}
		p := k.principal
		return caller{p.kind, p.arn, p.id, p.partition, p.account, p}, k.secret, nil
	}

	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil {
		return caller{}, "", invalidToken()
	}
	plain, err := s.sealer.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return caller{}, "", invalidToken()
	}
	var ses session
	if err := json.Unmarshal(plain, &ses); err != nil || ses.KeyID != keyID {
		return caller{}, "", invalidToken()
	}
	c := caller{kind: ses.Kind, arn: ses.ARN, userID: ses.UserID, partition: ses.Partition, account: ses.Account}
	if ses.PrincipalARN != "" {
		p, err := s.find(ses.PrincipalARN)
		if err != nil || p.id != ses.PrincipalID {
			return caller{}, "", invalidToken()
		}
		c.principal = p
	}
	if !now.Before(time.Unix(ses.Expires, 0)) {
		// The code callers report. ExpiredTokenException, which the API's
		// model has, is for web identity tokens.
		return caller{}, "", &apiError{http.StatusForbidden, "ExpiredToken",
			"The security token included in the request is expired"}
	}
	return c, ses.Secret, nil
}
