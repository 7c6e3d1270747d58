package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// newHTTPSProbe has a full handshake each time: a resumed one would not ask for
// the certificate.
func newHTTPSProbe(address netip.Addr, c Check) (probe, error) {
	h, err := newExchange(address, c)
	if err != nil {
		return nil, err
	}
	config, err := c.TLS.config(c.HTTP.Host, h.at.to.Addr())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, deadline time.Time) error {
		raw, err := h.at.connect(ctx, deadline)
		if err != nil {
			return err
		}
		defer raw.Close()
		c := tls.Client(raw, config)
		if err := c.Handshake(); err != nil {
			return failed(BadTLS, fmt.Errorf("shake hands: %w", err))
		}
		return h.exchange(c)
	}, nil
}

func (t TLS) config(host string, address netip.Addr) (*tls.Config, error) {
	config := &tls.Config{
		ServerName: t.ServerName, InsecureSkipVerify: t.Insecure,
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}
	if config.ServerName == "" {
		config.ServerName = serverName(host, address)
	}
	if t.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("read CA: no certificate in it")
		}
	}
	return config, nil
}

// serverName is what a certificate has to name where nobody says it.
func serverName(host string, address netip.Addr) string {
	if host == "" {
		return address.String()
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
