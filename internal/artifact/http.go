package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const maxRedirects = 5

// transport makes connections that end with their request: a fetch is rare,
// and an idle connection is one more thing that can go stale.
func (o Options) transport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if o.Transport != nil {
		t = o.Transport.Clone()
	}
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
		defer cancel()
		return dial(ctx, network, addr)
	}
	t.TLSHandshakeTimeout = o.ConnectTimeout
	t.ResponseHeaderTimeout = o.HeaderTimeout
	t.DisableKeepAlives = true
	t.DisableCompression = true // the digest is of the bytes as they are served
	return t
}

// get returns the body of the answer, which the caller closes.
func (s *Store) get(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	res, err := s.answer(ctx, u)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return newBody(ctx, cancel, res.Body, s.opt.StallTimeout), nil
}

// answer follows redirects itself: http.Client would send a Referer, secrets
// included, and quote URLs in its errors.
func (s *Store) answer(ctx context.Context, u *url.URL) (*http.Response, error) {
	for range maxRedirects + 1 {
		res, err := s.ask(ctx, u)
		if err != nil {
			return nil, err
		}
		if location := res.Header.Get("Location"); res.StatusCode/100 == 3 && location != "" {
			res.Body.Close()
			if u, err = follow(u, location); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.accept(res); err != nil {
			res.Body.Close()
			return nil, err
		}
		return res, nil
	}
	return nil, fmt.Errorf("%w: more than %d of them", ErrRedirect, maxRedirects)
}

func (s *Store) ask(ctx context.Context, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL is malformed", ErrRef)
	}
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", u.Host, slow(ctx, err))
	}
	return res, nil
}

func follow(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: to a malformed URL", ErrRedirect)
	}
	if err := checkWeb(to); err != nil {
		return nil, fmt.Errorf("%w: to %s: %w", ErrRedirect, public(to), err)
	}
	if from.Scheme == "https" && to.Scheme == "http" {
		return nil, fmt.Errorf("%w: from https to %s", ErrRedirect, public(to))
	}
	return to, nil
}

func (s *Store) accept(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %d %s", ErrStatus, res.StatusCode, http.StatusText(res.StatusCode))
	}
	if res.ContentLength > s.opt.MaxDownload {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, res.ContentLength, s.opt.MaxDownload)
	}
	return nil
}

// slow makes ErrStalled of all the forms in which a timeout comes, but for the
// deadline of the caller.
func slow(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return err
}

// body ends with ErrStalled when no byte comes for a while. The time in which
// nobody reads does not count: a slow disk is not the server's fault.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, r io.ReadCloser, limit time.Duration) *body {
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w: no byte for %v", ErrStalled, limit)) })
	timer.Stop()
	return &body{r, ctx, cancel, limit, timer}
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read the answer: %w", slow(b.ctx, err))
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
