package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
)

// maxWants bounds the branches asked for where a commit cannot be.
const maxWants = 1000

// smart speaks Git's smart protocol. It uses go-git's sessions and not its
// Remote, whose HTTP client is one for the whole process and has no bounds.
type smart struct {
	endpoint *transport.Endpoint
	shown    string // the URL, without secrets
	maxRepo  int64
	http     *httpDialer // nil for local repositories
}

func newSmart(opt GitOptions) (*smart, error) {
	if opt.URL == "" {
		return nil, errors.New("no URL")
	}
	u, err := url.Parse(opt.URL)
	if err != nil {
		return nil, errors.New("the URL does not parse") // err may quote a password
	}
	s := &smart{maxRepo: opt.MaxRepo}
	switch u.Scheme {
	case "http", "https":
		var user *url.Userinfo
		s.shown, user = withoutUser(u)
		if s.http, err = newHTTPDialer(opt, u, user); err != nil {
			return nil, err
		}
	case "", "file":
		if s.shown, err = localPath(opt.URL, u); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("scheme %q is not supported: want https, http, file or a local path", u.Scheme)
	}
	s.endpoint, err = transport.NewEndpoint(s.shown)
	if err != nil {
		return nil, fmt.Errorf("parse URL: %w", err)
	}
	return s, nil
}

func localPath(text string, u *url.URL) (string, error) {
	if u.Scheme == "file" {
		if u.Host != "" && u.Host != "localhost" {
			return "", fmt.Errorf("file URL names host %q", u.Host)
		}
		text = u.Path
	} else if before, _, ok := strings.Cut(text, ":"); ok && !strings.Contains(before, "/") {
		return "", errors.New("ssh is not supported: want https, http, file or a local path")
	}
	abs, err := filepath.Abs(text)
	if err != nil {
		return "", err
	}
	return "file://" + abs, nil
}

// session opens a connection and reads what refs there are.
func (s *smart) session(ctx context.Context) (transport.UploadPackSession, *packp.AdvRefs, error) {
	client, auth := file.NewClient(transport.UploadPackServiceName, transport.ReceivePackServiceName), transport.AuthMethod(nil)
	if s.http != nil {
		var err error
		if client, auth, err = s.http.client(ctx); err != nil {
			return nil, nil, err
		}
	}
	session, err := client.NewUploadPackSession(s.endpoint, auth)
	if err != nil {
		return nil, nil, s.explain(err)
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		session.Close()
		return nil, nil, s.explain(err)
	}
	return session, refs, nil
}

// Resolve implements remote.
func (s *smart) Resolve(ctx context.Context, ref string) (target, error) {
	session, refs, err := s.session(ctx)
	if err != nil {
		return target{}, err
	}
	defer session.Close()
	if isHash(ref) {
		return commitTarget(ref, refs)
	}
	return refTarget(ref, refs)
}

// refTarget finds a branch, then a tag, then a full name.
func refTarget(ref string, refs *packp.AdvRefs) (target, error) {
	if ref == "" || ref == "HEAD" {
		if refs.Head == nil {
			return target{}, fmt.Errorf("%w: HEAD names no commit", ErrNoRef)
		}
		return target{Commit: refs.Head.String(), Wants: []string{refs.Head.String()}}, nil
	}
	for _, name := range []string{"refs/heads/" + ref, "refs/tags/" + ref, ref} {
		tip, ok := refs.References[name]
		if !ok {
			continue
		}
		commit := tip
		if peeled, ok := refs.Peeled[name]; ok { // an annotated tag
			commit = peeled
		}
		return target{Commit: commit.String(), Wants: []string{tip.String()}}, nil
	}
	return target{}, fmt.Errorf("%w: %s", ErrNoRef, ref)
}

// commitTarget asks for the commit itself where the server lets us, or else
// for all branches.
func commitTarget(hash string, refs *packp.AdvRefs) (target, error) {
	t := target{Commit: hash, Wants: []string{hash}}
	caps := refs.Capabilities
	if caps.Supports(capability.AllowReachableSHA1InWant) || caps.Supports("allow-any-sha1-in-want") {
		return t, nil
	}
	t.Wants = nil
	for name, tip := range refs.References {
		if strings.HasPrefix(name, "refs/heads/") && len(t.Wants) < maxWants {
			t.Wants = append(t.Wants, tip.String())
		}
	}
	slices.Sort(t.Wants)
	t.Wants = slices.Compact(t.Wants)
	if len(t.Wants) == 0 {
		return target{}, fmt.Errorf("%w: no branch", ErrNoRef)
	}
	return t, nil
}

// Fetch implements remote.
func (s *smart) Fetch(ctx context.Context, t target, c *cache) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session, refs, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	req := request(t, c.Haves(), refs)
	answer, err := session.UploadPack(ctx, req)
	if err != nil {
		return s.explain(err)
	}
	defer answer.Close()
	pack := &limited{r: demux(req, answer), left: s.maxRepo}
	if err := packfile.UpdateObjectStorage(c.open(), pack); err != nil {
		// Close waits for a git process to end, which waits for us to read.
		// A read with a cancelled context kills it.
		cancel()
		_, _ = answer.Read(make([]byte, 1))
		return s.explain(errors.Join(pack.err, err))
	}
	if !c.Has(t.Commit) {
		return fmt.Errorf("%w: commit %s", ErrNoRef, t.Commit)
	}
	return nil
}

func request(t target, haves []plumbing.Hash, refs *packp.AdvRefs) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	for _, w := range t.Wants {
		req.Wants = append(req.Wants, plumbing.NewHash(w))
	}
	req.Haves = haves
	return req
}

// demux takes progress out of a pack.
func demux(req *packp.UploadPackRequest, r io.Reader) io.Reader {
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// explain puts a sentinel of this package on an error of go-git.
func (s *smart) explain(err error) error {
	as := ErrUnreachable
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrAuth):
		return err
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		as = ErrEmpty
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		as = ErrAuth
	case errors.Is(err, transport.ErrRepositoryNotFound):
		as = ErrMissing
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		as = ErrDisk
	}
	return &farError{as: as, text: s.scrub(err)}
}

// farError is an error with text from outside, cleaned.
type farError struct {
	as   error
	text string
}

func (e *farError) Error() string { return e.as.Error() + ": " + e.text }
func (e *farError) Unwrap() error { return e.as }

// scrub makes foreign text one short line without our secrets.
func (s *smart) scrub(err error) string {
	text := err.Error()
	if s.http != nil {
		text = s.http.redact(text)
	}
	return printable(strings.Join(strings.Fields(text), " "))
}

// limited fails once more than so many bytes are read.
type limited struct {
	r    io.Reader
	left int64
	err  error
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		l.err = fmt.Errorf("%w: the download exceeds its bound", ErrTooLarge)
		return 0, l.err
	}
	return n, err
}
