package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

const (
	// maxRefs bounds the list of refs: some 100,000 of them, in bytes.
	maxRefs = 16 << 20
	// maxFault bounds the body of an answer that reports a fault, in bytes.
	maxFault = 4 << 10
	// maxSecret bounds a token or a file of certificates, in bytes.
	maxSecret = 1 << 20
	// tokenUser goes with a token where the URL names no user: the hosters
	// want some name and ignore which.
	tokenUser = "x-access-token"
)

// httpDialer makes HTTP clients, one for each operation: credentials are read
// when they are used, and no connection stays open between two polls.
type httpDialer struct {
	origin    *url.URL
	user      string
	password  string // from the URL
	tokenFile string
	caFile    string
	maxRepo   int64
	timeout   time.Duration
}

func newHTTPDialer(opt GitOptions, u *url.URL, user *url.Userinfo) (*httpDialer, error) {
	d := &httpDialer{
		origin: u, user: tokenUser, tokenFile: opt.TokenFile, caFile: opt.CAFile,
		maxRepo: opt.MaxRepo, timeout: opt.Timeout,
	}
	if user != nil {
		d.password, _ = user.Password()
		if user.Username() != "" {
			d.user = user.Username()
		}
	}
	if u.Scheme != "https" && (d.tokenFile != "" || d.password != "") {
		return nil, errors.New("credentials go over https only")
	}
	return d, nil
}

// client is good until the context ends.
func (d *httpDialer) client(ctx context.Context) (transport.Transport, transport.AuthMethod, error) {
	password, err := d.secret()
	if err != nil {
		return nil, nil, err
	}
	roots, err := d.roots()
	if err != nil {
		return nil, nil, err
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: min(d.timeout, 10*time.Second)}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   min(d.timeout, 10*time.Second),
		ResponseHeaderTimeout: d.timeout,
		ForceAttemptHTTP2:     true,
	}
	context.AfterFunc(ctx, t.CloseIdleConnections)
	var auth transport.AuthMethod
	if password != "" {
		auth = &githttp.BasicAuth{Username: d.user, Password: password}
	}
	c := &http.Client{Transport: &bounding{next: t, maxRepo: d.maxRepo}, CheckRedirect: d.redirect(password != "")}
	return githttp.NewClient(c), auth, nil
}

// redirect keeps credentials at the host they are for.
func (d *httpDialer) redirect(secret bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, _ []*http.Request) error {
		if secret && (req.URL.Scheme != d.origin.Scheme || req.URL.Host != d.origin.Host) {
			return fmt.Errorf("redirect to %s://%s refused: credentials stay at %s", req.URL.Scheme, req.URL.Host, d.origin.Host)
		}
		return nil
	}
}

func (d *httpDialer) secret() (string, error) {
	if d.tokenFile == "" {
		return d.password, nil
	}
	data, err := readSmall(d.tokenFile)
	if err != nil {
		return "", fmt.Errorf("%w: read token: %w", ErrAuth, err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%w: read token: %s is empty", ErrAuth, d.tokenFile)
	}
	return token, nil
}

// roots is nil for the system's certificates alone.
func (d *httpDialer) roots() (*x509.CertPool, error) {
	if d.caFile == "" {
		return nil, nil
	}
	data, err := readSmall(d.caFile)
	if err != nil {
		return nil, fmt.Errorf("%w: read certificates: %w", ErrAuth, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%w: read certificates: none in %s", ErrAuth, d.caFile)
	}
	return pool, nil
}

// redact takes the credentials out of a text, should a server echo them.
func (d *httpDialer) redact(text string) string {
	secret, _ := d.secret()
	for _, s := range []string{secret, d.password} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return text
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret))
}

// bounding bounds the bodies of answers.
type bounding struct {
	next    http.RoundTripper
	maxRepo int64
}

func (b *bounding) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	switch {
	case res.StatusCode/100 != 2:
		body = io.LimitReader(res.Body, maxFault)
	case req.Method == http.MethodGet:
		body = &limited{r: res.Body, left: maxRefs}
	default:
		body = &limited{r: res.Body, left: b.maxRepo + b.maxRepo/8} // and its framing
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{body, res.Body}
	return res, nil
}
