package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// ClientCAs demands a client certificate of the API server, issued by a CA in a file that may be rotated.
type ClientCAs struct {
	file string
	base *tls.Config
	log  *zap.Logger

	mu     sync.Mutex
	data   []byte      // what config was made of
	config *tls.Config // replaced, never changed
	err    error       // of the last reading
}

// NewClientCAs reads the CA certificates, PEM, that client certificates are verified by. The base is the configuration
// of the server without the check; it is not changed.
func NewClientCAs(file string, base *tls.Config, log *zap.Logger) (*ClientCAs, error) {
	if log == nil {
		log = zap.NewNop()
	}
	c := &ClientCAs{file: file, base: base, log: log}
	data, err := c.read()
	if err != nil {
		return nil, err
	}
	c.use(data)
	return c, nil
}

// GetConfigForClient is for tls.Config. It reads the file at each handshake, of which the API server makes few: a CA that
// was taken out is not trusted for one handshake more. If the file can't be read or holds no CA, the last good one counts.
func (c *ClientCAs) GetConfigForClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := c.read()
	switch {
	case err == nil && !bytes.Equal(data, c.data):
		c.use(data)
		c.log.Info("client CA loaded", zap.String("file", c.file))
	case err != nil && (c.err == nil || c.err.Error() != err.Error()):
		c.log.Error("client CA could not be loaded", zap.Error(err))
	}
	c.err = err
	return c.config, nil
}

// Healthy tells why the file could not be used at the last handshake.
func (c *ClientCAs) Healthy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *ClientCAs) read() ([]byte, error) {
	data, err := readBundle(c.file)
	if err != nil {
		return nil, fmt.Errorf("client certificates: %w; give a file with the certificates of the CAs that issue them", err)
	}
	return data, nil
}

func (c *ClientCAs) use(data []byte) {
	config := c.base.Clone()
	config.GetConfigForClient = nil
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = x509.NewCertPool()
	config.ClientCAs.AppendCertsFromPEM(data)
	c.data, c.config = data, config
}
