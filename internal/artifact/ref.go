package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
)

// Ref names an object: where the artifact is that it comes with, what that
// must be, and which one of it is meant. Exactly one of URL and File is set.
type Ref struct {
	URL    string // http, https or file, without credentials
	File   string // absolute
	SHA256 string // of what is there, in hex; empty: a local file as it is now
	// Path is the member of an archive; empty: the artifact is an object
	// itself, or an archive with one regular file that ends in .o.
	Path string
	// Minisign is the public key that it must be signed with, as minisign prints
	// it; empty: it need not be signed. The signature stands at the URL, or beside
	// the file, with .minisig behind it. It needs SHA256.
	Minisign string
}

// String is where the artifact is, without what may be secret in a URL.
func (r Ref) String() string {
	if r.URL == "" {
		return r.File
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return "a malformed URL"
	}
	return public(u)
}

// public is a URL without its user, query and fragment.
func public(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// place is a Ref that was checked.
type place struct {
	url    *url.URL // nil: it is local
	file   string
	sum    string // lower case; empty: not pinned
	member string
	key    string // of minisign; empty: it need not be signed
}

func (r Ref) place() (place, error) {
	p := place{file: r.File, member: r.Path, key: r.Minisign}
	switch sum, err := hex.DecodeString(r.SHA256); {
	case err != nil || len(sum) != 0 && len(sum) != sha256.Size:
		return place{}, fmt.Errorf("%w: %q is no sha256 in hex", ErrRef, r.SHA256)
	default:
		p.sum = hex.EncodeToString(sum)
	}
	if r.Path != "" && (!fs.ValidPath(r.Path) || r.Path == ".") {
		return place{}, fmt.Errorf("%w: %q is no path within an archive", ErrRef, r.Path)
	}
	if (r.URL == "") == (r.File == "") {
		return place{}, fmt.Errorf("%w: it takes either a URL or a file", ErrRef)
	}
	if r.URL != "" {
		if err := p.locate(r.URL); err != nil {
			return place{}, fmt.Errorf("%w: %w", ErrRef, err)
		}
	}
	if p.url == nil && !filepath.IsAbs(p.file) {
		return place{}, fmt.Errorf("%w: the path is not absolute", ErrRef)
	}
	if p.key != "" && p.sum == "" {
		return place{}, fmt.Errorf("%w: what is signed needs a sha256", ErrRef)
	}
	if p.url != nil && p.sum == "" {
		return place{}, fmt.Errorf("%w: what is downloaded needs a sha256", ErrRef)
	}
	return p, nil
}

// locate takes a URL apart. Errors of net/url quote it, secrets included.
func (p *place) locate(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("the URL is malformed")
	}
	if u.Scheme != "file" {
		p.url = u
		return checkWeb(u)
	}
	if u.User != nil || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("a file URL is file:// and a path of this host")
	}
	p.file = u.Path
	return nil
}

// checkWeb refuses what is not fetched from, as reference or as redirect.
func checkWeb(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("only http, https and file are fetched from, not %q", u.Scheme)
	case u.User != nil:
		return fmt.Errorf("credentials in a URL are not supported")
	case u.Hostname() == "":
		return fmt.Errorf("the URL names no host")
	}
	return nil
}
