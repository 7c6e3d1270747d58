package source

import (
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const token = "s3cr3t-t0ken"

// forge serves a repository over HTTPS by git's own http-backend, to those who
// know the token.
type forge struct {
	*httptest.Server
	url, ca, tokenFile string
	lists, packs       atomic.Int32 // requests for refs and for packs
	refused            atomic.Int32
}

func newForge(t *testing.T, repo *repository) *forge {
	t.Helper()
	f := &forge{}
	exec := repo.git("--exec-path")
	backend := &cgi.Handler{
		Path:   filepath.Join(exec, "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(repo.bare), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		Stderr: &strings.Builder{},
	}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != token {
			f.refused.Add(1)
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "you said "+password, http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet {
			f.lists.Add(1)
		} else {
			f.packs.Add(1)
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	f.url = f.URL + "/" + filepath.Base(repo.bare)
	f.ca, f.tokenFile = t.TempDir()+"/ca.pem", t.TempDir()+"/token"
	must(t, os.WriteFile(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o644))
	must(t, os.WriteFile(f.tokenFile, []byte(token+"\n"), 0o600))
	return f
}

func (f *forge) options() GitOptions {
	return GitOptions{URL: f.url, Ref: "main", CAFile: f.ca, TokenFile: f.tokenFile, Timeout: 10 * time.Second}
}

func TestGitOverHTTPS(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	r := start(t, repo.source(f.options()))
	if got := show(r.tree(1, waitLong)); got != "a.yaml=one;" {
		t.Errorf("got %s", got)
	}
	second := repo.push("b.yaml", "two")
	if got := r.tree(2, waitLong); got.Revision != second || show(got) != "a.yaml=one;b.yaml=two;" {
		t.Errorf("got %s %s", got.Revision, show(got))
	}
	if n := f.packs.Load(); n != 2 {
		t.Errorf("%d downloads for two commits", n)
	}
}

func TestGitTokenIsReadEachTimeAndNeverShown(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	must(t, os.WriteFile(f.tokenFile, []byte("stolen-and-0ld"), 0o600))
	s := repo.source(f.options())
	r := start(t, s)
	err := r.sick(waitLong, isErr(ErrAuth))
	if strings.Contains(err.Error(), "stolen") || strings.Contains(s.String(), "stolen") {
		t.Errorf("the token is shown: %v", err)
	}
	must(t, os.WriteFile(f.tokenFile, []byte(token), 0o600))
	r.tree(1, waitLong)
	r.well(waitLong)
	must(t, os.Remove(f.tokenFile))
	r.sick(waitLong, isErr(ErrAuth))
}

func isErr(want error) func(error) bool {
	return func(err error) bool { return errors.Is(err, want) }
}

func TestGitWantsATrustedCertificate(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	opt := f.options()
	opt.CAFile = ""
	r := start(t, repo.source(opt))
	err := r.sick(waitLong, isErr(ErrUnreachable))
	if !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if f.lists.Load()+f.refused.Load() != 0 {
		t.Error("a request was sent to a host that proved nothing")
	}
}

// The URL may carry credentials, which are used and not shown.
func TestGitCredentialsInTheURL(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	opt := f.options()
	opt.TokenFile, opt.URL = "", strings.Replace(f.url, "https://", "https://ann:"+token+"@", 1)
	opt.Log = nil
	s := repo.source(opt)
	if strings.Contains(s.String(), token) || !strings.HasPrefix(s.String(), "git https://127.0.0.1") {
		t.Errorf("named %s", s)
	}
	r := start(t, s)
	r.tree(1, waitLong)
	f.CloseClientConnections()
	f.Close()
	if err := r.sick(waitLong, isErr(ErrUnreachable)); strings.Contains(err.Error(), token) {
		t.Errorf("shown: %v", err)
	}
}

func TestGitRefusesCredentialsInTheClear(t *testing.T) {
	for _, opt := range []GitOptions{
		{URL: "http://example.net/r.git", TokenFile: "/etc/token"},
		{URL: "http://ann:" + token + "@example.net/r.git"},
		{URL: "ftp://example.net/r.git"},
		{URL: "ssh://git@example.net/r.git"},
		{URL: "git@example.net:r.git"},
		{URL: "https://ann:" + token + "@exa mple.net/%zz"},
		{URL: "file://elsewhere/r.git"},
		{URL: ""},
		{URL: "https://example.net/r.git", Path: "../etc"},
	} {
		opt.Cache = t.TempDir()
		_, err := NewGit(opt)
		if err == nil {
			t.Errorf("%s is accepted", opt.URL)
		} else if strings.Contains(err.Error(), token) {
			t.Errorf("shown: %v", err)
		}
	}
}

// Credentials stay at the host they are for, whatever it answers.
func TestGitRedirects(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	var leaked atomic.Int32
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		http.NotFound(w, r)
	}))
	defer elsewhere.Close()
	plain := httptest.NewServer(elsewhere.Config.Handler)
	defer plain.Close()
	for name, to := range map[string]string{"another host": elsewhere.URL, "another scheme": plain.URL} {
		t.Run(name, func(t *testing.T) {
			gate := httptest.NewTLSServer(http.RedirectHandler(to+"/repo.git/info/refs?service=git-upload-pack", http.StatusFound))
			defer gate.Close()
			opt := f.options()
			opt.URL = gate.URL + "/repo.git"
			r := start(t, repo.source(opt))
			err := r.sick(waitLong, isErr(ErrUnreachable))
			if !strings.Contains(err.Error(), "redirect") {
				t.Errorf("got %v", err)
			}
		})
	}
	if leaked.Load() != 0 {
		t.Error("credentials were sent elsewhere")
	}
}

// A server that says nothing, at any point, costs one timeout.
func TestGitHangingServer(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", "one")
	f := newForge(t, repo)
	honest := f.Config.Handler
	var hang atomic.Value
	hang.Store("GET")
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hang.Load() != r.Method {
			honest.ServeHTTP(w, r)
			return
		}
		if r.Method == "POST" { // begin to answer, and stop
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("0008NAK\n"))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	opt := f.options()
	opt.Timeout = 300 * time.Millisecond
	r := start(t, repo.source(opt))
	r.sick(waitLong, isErr(ErrUnreachable))
	hang.Store("POST")
	wait(t, 10*time.Second, "a download that hangs", func() bool { return f.lists.Load() > 2 })
	if n := r.count(); n != 0 {
		t.Fatalf("%d trees from a server that hangs", n)
	}
	hang.Store("")
	r.tree(1, waitLong)
	r.well(waitLong)
}

// A host that accepts and never says a word, not even of TLS.
func TestGitSilentHost(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	repo := newRepository(t)
	began := time.Now()
	r := start(t, repo.source(GitOptions{URL: "https://" + silent.Addr().String() + "/r.git", Timeout: 300 * time.Millisecond}))
	r.sick(waitLong, isErr(ErrUnreachable))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestGitServerThatCloses(t *testing.T) {
	repo := newRepository(t)
	repo.push("a.yaml", noise(8<<10))
	f := newForge(t, repo)
	honest := f.Config.Handler
	var after atomic.Int64 // bytes of an answer to let through, -1 for all
	after.Store(40)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := after.Load(); n >= 0 {
			w = &cutting{ResponseWriter: w, left: n}
		}
		honest.ServeHTTP(w, r)
	})
	r := start(t, repo.source(f.options()))
	r.sick(waitLong, isErr(ErrUnreachable))
	after.Store(2000) // enough for the refs, in the middle of the pack
	for range 3 {
		r.source.Sync()
		time.Sleep(100 * time.Millisecond)
	}
	if n := r.count(); n != 0 {
		t.Fatalf("%d trees out of a cut answer", n)
	}
	after.Store(-1)
	r.tree(1, waitLong)
	r.well(waitLong)
}

// cutting ends the connection after so many bytes.
type cutting struct {
	http.ResponseWriter
	left int64
}

func (c *cutting) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.ResponseWriter.Write(p)
}

func TestGitBoundsWhatAServerSends(t *testing.T) {
	endless := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("001e# service=git-upload-pack\n0000"))
		line := "003d" + strings.Repeat("a", 40) + " refs/heads/branch-\n"
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat(line, 1000))); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	repo := newRepository(t)
	ca := t.TempDir() + "/ca"
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endless.Certificate().Raw}), 0o644))
	r := start(t, repo.source(GitOptions{URL: endless.URL, CAFile: ca, Timeout: 20 * time.Second}))
	r.sick(waitLong, func(error) bool { return true })
}

// 5,000 commits are polled as cheaply as one: the refs are listed and nothing
// is downloaded.
func TestGitPollOfALongHistory(t *testing.T) {
	repo := newRepository(t)
	repo.history(5000)
	f := newForge(t, repo)
	opt := f.options()
	opt.Poll = 20 * time.Millisecond
	began := time.Now()
	r := start(t, repo.source(opt))
	r.tree(1, waitLong)
	t.Logf("first tree after %v", time.Since(began).Round(time.Millisecond))
	polls := f.lists.Load()
	wait(t, 10*time.Second, "20 polls", func() bool { return f.lists.Load() >= polls+20 })
	if n := f.packs.Load(); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
	began = time.Now()
	repo.push("new.yaml", "x")
	pushed := time.Now()
	r.tree(2, waitLong)
	t.Logf("one more commit: pushed in %v, taken %v later", pushed.Sub(began).Round(time.Millisecond), time.Since(pushed).Round(time.Millisecond))
	if n := f.packs.Load(); n != 2 {
		t.Errorf("%d downloads, want 2", n)
	}
}

// history makes a branch main of n commits in one go.
func (r *repository) history(n int) {
	r.t.Helper()
	var b strings.Builder
	for i := range n {
		b.WriteString("commit refs/heads/main\ncommitter Ann <ann@example.net> 1700000000 +0000\ndata 1\nx\n")
		if i == 0 {
			b.WriteString("M 100644 inline a.yaml\ndata 3\none\n")
		}
		b.WriteString("M 100644 inline n.txt\ndata 5\n" + string([]byte{'0' + byte(i/1000), '0' + byte(i/100%10), '0' + byte(i/10%10), '0' + byte(i%10)}) + "\n\n")
	}
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = r.bare, strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("fast-import: %v\n%s", err, out)
	}
	r.git("pull", "-q", "origin", "main")
}
