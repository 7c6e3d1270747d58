package desired

import (
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// objectYAML is where a program's object comes from, as written.
type objectYAML struct {
	strict.Here
	URL    strict.V[string] `yaml:"url" min:"1" max:"2048" doc:"http, https or file: an object or an archive. {version}, {arch} and {platform} are filled in."`
	File   strict.V[string] `yaml:"file" min:"1" max:"1024" doc:"A path: absolute, of the host; relative, of the tree. Filled in like url."`
	SHA256 *digestsYAML     `yaml:"sha256" doc:"Of what is at url or file; required for what is downloaded. One, or one for each architecture."`
	Path   strict.V[string] `yaml:"path" min:"1" max:"1024" doc:"The object within an archive. Filled in like url."`
}

// digestsYAML are digests by architecture, as Go names it, or one for all.
type digestsYAML struct {
	strict.Here
	All   strict.V[digest] `short:"true"`
	AMD64 strict.V[digest] `yaml:"amd64"`
	ARM64 strict.V[digest] `yaml:"arm64"`
}

const digestPattern = `^[0-9a-fA-F]{64}$`

var digestExp = regexp.MustCompile(digestPattern)

// digest is SHA-256 in hex.
type digest string

func (d *digest) ReadScalar(v *strict.Value) *strict.Problem {
	if !digestExp.MatchString(v.Text) {
		return strict.Problemf("bad-digest", "%q is no SHA-256 digest", v.Text).Hinted("64 hex digits, as sha256sum prints them")
	}
	*d = digest(strings.ToLower(v.Text))
	return nil
}

func (*digest) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": digestPattern}
}

// programVersion is a word that tells versions of a program apart.
type programVersion string

const versionPattern = `^[a-zA-Z0-9][a-zA-Z0-9._+~:-]*$`

var versionExp = regexp.MustCompile(versionPattern)

func (p *programVersion) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String {
		return strict.Problemf("wrong-type", "want a string, have %s: %s", v.Kind, v.Text).Hinted("put it in quotes: %q", v.Text)
	}
	if !versionExp.MatchString(v.Text) || len(v.Text) > maxVersion {
		return strict.Problemf("bad-version", "%q is no version", v.Text).
			Hinted("letters, digits and any of . _ + ~ : -, %d bytes at most", maxVersion)
	}
	*p = programVersion(v.Text)
	return nil
}

const maxVersion = 64 // bytes

func (*programVersion) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": versionPattern, "maxLength": maxVersion}
}

// object is the source of a program's object.
func (b *builder) object(y *programYAML) resource.ObjectSource {
	o := y.Object
	if o == nil {
		return resource.ObjectSource{}
	}
	s := resource.ObjectSource{
		URL: b.fill(o.URL, y.Version), File: b.fill(o.File, y.Version), Path: b.fill(o.Path, y.Version),
		SHA256: b.digest(o.SHA256),
	}
	switch {
	case o.URL.Given() && o.File.Given():
		b.fault(o.File.At(), "two-ways", "file stands in place of url, not beside it")
	case !o.URL.Given() && !o.File.Given():
		b.fault(o.At(), "missing-key", "the object comes from nowhere").Hinted("give url or file")
	}
	if b.checkURL(o.URL, s.URL) && !strings.HasPrefix(s.URL, "file:") && o.SHA256 == nil {
		b.fault(o.At(), "missing-key", "sha256 is missing: what is downloaded is pinned").Hinted("sha256sum FILE prints it")
	}
	if s.Path != "" && (!fs.ValidPath(s.Path) || s.Path == ".") {
		b.fault(o.Path.At(), "bad-path", "%q is no path within an archive", s.Path).Hinted("a/b.bpf.o, without . and ..")
	}
	b.file(o, &s)
	return s
}

// fill puts in what a program's version and the host tell; empty where the
// text is not given or at fault.
func (b *builder) fill(v strict.V[string], version strict.V[programVersion]) string {
	if !v.Ok() {
		return ""
	}
	ok := true
	words := map[string]string{"version": string(version.Val), "arch": b.around.arch, "platform": "linux"}
	text := placeholder.ReplaceAllStringFunc(v.Val, func(s string) string {
		word := s[1 : len(s)-1]
		value, known := words[word]
		switch {
		case !known:
			p := b.fault(v.At(), "unknown-word", "nothing is known to fill in for %s", s)
			suggest(p, word, []string{"version", "arch", "platform"})
			ok = false
		case value == "":
			if !version.Given() {
				b.fault(v.At(), "missing-key", "{version} is filled in from version, which the program does not give")
			}
			ok = false
		}
		return value
	})
	if ok && strings.ContainsAny(text, "{}") {
		b.fault(v.At(), "unknown-word", "a { or } stands alone").Hinted("write {version}, {arch} or {platform}")
		ok = false
	}
	if !ok {
		return ""
	}
	return text
}

// suggest adds to a problem which of the known words was meant, or all of them.
func suggest(p *strict.Problem, word string, known []string) {
	if near := strict.Nearest(word, known); near != "" {
		p.Hinted("did you mean %s?", near)
		return
	}
	p.Hinted("known are %s", strings.Join(known, ", "))
}

// digest is the one for this architecture.
func (b *builder) digest(y *digestsYAML) string {
	switch {
	case y == nil:
		return ""
	case y.All.Given():
		return string(y.All.Val)
	}
	of := map[string]strict.V[digest]{"amd64": y.AMD64, "arm64": y.ARM64}[b.around.arch]
	if !of.Given() && y.At().Kind == strict.Mapping {
		b.fault(y.At(), "missing-key", "there is no sha256 for %s", b.around.arch)
	}
	return string(of.Val)
}

// checkURL reports that a URL, as filled in, can be fetched from.
func (b *builder) checkURL(v strict.V[string], text string) bool {
	if text == "" {
		return false
	}
	u, err := url.Parse(text) // whose error may hold a password
	switch {
	case err != nil:
		b.fault(v.At(), "bad-url", "this is no URL")
	case u.User != nil:
		b.fault(v.At(), "credentials", "a URL with a user or a password does not belong into a tree that others read").
			Hinted("leave out what stands before the @")
	case !slices.Contains([]string{"http", "https", "file"}, u.Scheme):
		b.fault(v.At(), "bad-url", "the scheme is none of http, https and file").Hinted("a path is given under file")
	case u.Scheme != "file" && u.Hostname() == "":
		b.fault(v.At(), "bad-url", "the URL names no host")
	case u.Scheme == "file" && (u.Host != "" && u.Host != "localhost" || !path.IsAbs(u.Path)):
		b.fault(v.At(), "bad-url", "the URL names no file of this host").Hinted("write file:///path")
	default:
		return true
	}
	return false
}

// file checks a path, and takes the bytes of one of the tree.
func (b *builder) file(o *objectYAML, s *resource.ObjectSource) {
	switch {
	case s.File == "":
		return
	case path.IsAbs(s.File):
		if path.Clean(s.File) != s.File {
			b.fault(o.File.At(), "bad-path", "%q is no clean path", s.File).Hinted("write %s", path.Clean(s.File))
		}
		return
	case !fs.ValidPath(s.File) || s.File == ".":
		b.fault(o.File.At(), "bad-path", "%q is no path of the tree", s.File).Hinted("a/b.bpf.o, without . and ..")
		return
	case path.Ext(s.File) != ".o":
		b.fault(o.File.At(), "bad-path", "%q does not end in .o, and of the tree only objects are read", s.File)
		return
	case o.Path.Given():
		b.fault(o.Path.At(), "two-ways", "path is of an archive, and %s is an object", s.File)
	}
	s.File = b.around.path(o.File.At().Pos.File, s.File)
	blob, problem := b.around.object(s.File)
	switch {
	case problem != nil:
		b.report.At(o.File.At(), problem)
	case s.SHA256 != "" && s.SHA256 != blob.SHA256:
		b.fault(o.SHA256.At(), "wrong-digest", "%s has the SHA-256 digest %s", s.File, blob.SHA256)
	default:
		s.Tree = blob
	}
}
