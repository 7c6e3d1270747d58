package health

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	PEM  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(template, template, nil)
	a.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// server is a configuration with a certificate for some names until then.
func (a *authority) server(until time.Time, names ...string) *tls.Config {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, key := a.sign(template, a.cert, a.key)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
}

// over serves f through TLS.
func over(config *tls.Config, f func(net.Conn)) func(net.Conn) {
	return func(raw net.Conn) { f(tls.Server(raw, config)) }
}

func TestHTTPS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	named := a.server(soon, "www.example", "127.0.0.1")
	ok := answer("HTTP/1.1 200 OK\r\n\r\nok")
	for _, c := range []struct {
		name   string
		server func(net.Conn)
		tls    TLS
		host   string
		code   Code
		detail string // is in it
	}{
		{"by address", over(named, ok), TLS{CA: a.PEM}, "", OK, ""},
		{"by the host of the request", over(named, ok), TLS{CA: a.PEM}, "www.example", OK, ""},
		{"by that without its port", over(named, ok), TLS{CA: a.PEM}, "www.example:8443", OK, ""},
		{"by a name of its own", over(named, ok), TLS{CA: a.PEM, ServerName: "www.example"}, "other.example", OK, ""},
		{"wrong name", over(named, ok), TLS{CA: a.PEM, ServerName: "other.example"}, "www.example", BadTLS, "www.example, not other.example"},
		{"wrong address", over(a.server(soon, "127.0.0.2"), ok), TLS{CA: a.PEM}, "", BadTLS, "127.0.0.2, not 127.0.0.1"},
		{"expired", over(a.server(time.Now().Add(-time.Minute), "www.example"), ok), TLS{CA: a.PEM, ServerName: "www.example"}, "", BadTLS, "expired"},
		{"signed by a stranger", over(named, ok), TLS{CA: stranger.PEM, ServerName: "www.example"}, "", BadTLS, "unknown authority"},
		{"unknown to the system", over(named, ok), TLS{ServerName: "www.example"}, "", BadTLS, "unknown authority"},
		{"whoever it is", over(named, ok), TLS{Insecure: true, ServerName: "other.example"}, "", OK, ""},
		{"a CA that is none", over(named, ok), TLS{CA: "no PEM"}, "", Local, "read CA"},
		{"old TLS only", over(&tls.Config{Certificates: named.Certificates, MaxVersion: tls.VersionTLS11}, ok), TLS{CA: a.PEM}, "", BadTLS, ""},
		{"no TLS at all", ok, TLS{Insecure: true}, "", BadTLS, ""},
		{"noise instead of a handshake", noise, TLS{Insecure: true}, "", BadTLS, ""},
		{"an end instead of a handshake", func(c net.Conn) { c.Read(make([]byte, 16<<10)) }, TLS{Insecure: true}, "", BadTLS, ""},
		{"a reset instead of a handshake", refuse, TLS{Insecure: true}, "", Reset, ""},
		{"a handshake that hangs", hang, TLS{Insecure: true}, "", Timeout, ""},
		{"a handshake that drips", dripRecord, TLS{Insecure: true}, "", Timeout, ""},
		{"wrong status inside", over(named, answer("HTTP/1.1 500 No\r\n\r\n")), TLS{CA: a.PEM}, "", BadStatus, "status 500"},
		{"wrong body inside", over(named, answer("HTTP/1.1 200 OK\r\n\r\nno")), TLS{CA: a.PEM}, "", BadBody, ""},
		{"no answer inside", over(named, hang), TLS{CA: a.PEM}, "", Timeout, ""},
		{"a flood inside", over(named, flood("HTTP/1.1 200 OK\r\n\r\n", "no")), TLS{CA: a.PEM}, "", BadBody, "65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			check := Check{Type: HTTPS, TLS: c.tls, HTTP: Request{Host: c.host, Body: "ok"}, Timeout: 5 * time.Second}
			if c.code == Timeout {
				check.Timeout = 300 * time.Millisecond
			}
			if detail := want(t, serve(t, "127.0.0.1:0", c.server), check, c.code); !strings.Contains(detail, c.detail) {
				t.Errorf("%q does not tell %q", detail, c.detail)
			}
		})
	}
}

func noise(c net.Conn) {
	var err error
	for b := make([]byte, 4096); err == nil; {
		rand.Read(b)
		_, err = c.Write(b)
	}
}

func refuse(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// dripRecord begins a record of 16 KiB and never comes to its end.
func dripRecord(c net.Conn) {
	_, err := c.Write([]byte{22, 3, 3, 0x40, 0})
	for err == nil {
		time.Sleep(10 * time.Millisecond)
		_, err = c.Write([]byte{2})
	}
}

// Each probe wants to see the certificate: no session is resumed.
func TestHTTPSShakesHandsAnew(t *testing.T) {
	a := newAuthority(t)
	resumed := make(chan bool, 3)
	at := serve(t, "127.0.0.1:0", over(a.server(time.Now().Add(time.Hour), "127.0.0.1"), func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		resumed <- c.(*tls.Conn).ConnectionState().DidResume
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	}))
	check := Check{Type: HTTPS, TLS: TLS{CA: a.PEM}, Port: at.Port()}.Defaults()
	p := newProbe(at.Addr(), check, nil)
	for range 3 {
		if err := p(t.Context(), time.Now().Add(5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if <-resumed {
			t.Error("a session was resumed")
		}
	}
}
