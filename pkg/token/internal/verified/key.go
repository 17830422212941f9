package verified

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"sync"
)

// Key stands for a token. Nobody can tell the token from it, nor make a token that
// has the key of another: it is HMAC-SHA256 under a secret of this process.
type Key [sha256.Size]byte

// Keys makes keys of tokens. It is safe for concurrent use.
type Keys struct {
	macs sync.Pool
}

// mac is an HMAC with the buffer through which a string gets to it.
type mac struct {
	hash.Hash
	buffer [1024]byte
	sum    Key
}

// NewKeys returns Keys with a secret of their own.
func NewKeys() *Keys {
	secret := make([]byte, sha256.BlockSize)
	_, _ = rand.Read(secret) // never fails, by its documentation
	return &Keys{macs: sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }}}
}

// Of returns the key of a token.
func (k *Keys) Of(token string) Key {
	m := k.macs.Get().(*mac)
	for rest := token; rest != ""; {
		n := copy(m.buffer[:], rest)
		_, _ = m.Write(m.buffer[:n]) // never fails, by its documentation
		rest = rest[n:]
	}
	key := Key(m.Sum(m.sum[:0]))
	// The pool outlives the request, and no part of a token may.
	clear(m.buffer[:])
	m.Reset() // to a saved state, which overwrites the last block
	k.macs.Put(m)
	return key
}
