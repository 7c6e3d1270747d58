package artifact

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRefs(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name string
		ref  Ref
		want error
	}{
		{"https", Ref{URL: "https://h/x", SHA256: sum}, nil},
		{"digest in capitals", Ref{URL: "http://h/x", SHA256: strings.ToUpper(sum)}, nil},
		{"file URL", Ref{URL: "file:///x"}, nil},
		{"file URL of this host", Ref{URL: "file://localhost/x"}, nil},
		{"file", Ref{File: "/x", Path: "a/b.o"}, nil},
		{"nothing", Ref{}, ErrRef},
		{"both", Ref{URL: "file:///x", File: "/x"}, ErrRef},
		{"relative", Ref{File: "x"}, ErrRef},
		{"relative URL", Ref{URL: "file:x"}, ErrRef},
		{"file of another host", Ref{URL: "file://h/x"}, ErrRef},
		{"file with query", Ref{URL: "file:///x?y"}, ErrRef},
		{"download without digest", Ref{URL: "https://h/x"}, ErrRef},
		{"short digest", Ref{File: "/x", SHA256: "abcd"}, ErrRef},
		{"digest not in hex", Ref{File: "/x", SHA256: strings.Repeat("xy", 32)}, ErrRef},
		{"other scheme", Ref{URL: "ftp://h/x", SHA256: sum}, ErrRef},
		{"no host", Ref{URL: "https:///x", SHA256: sum}, ErrRef},
		{"malformed", Ref{URL: "https://h:x/", SHA256: sum}, ErrRef},
		{"user", Ref{URL: "https://u@h/x", SHA256: sum}, ErrRef},
		{"user and password", Ref{URL: "https://u:p@h/x", SHA256: sum}, ErrRef},
		{"user of a file", Ref{URL: "file://u@localhost/x"}, ErrRef},
		{"member above", Ref{File: "/x", Path: "../a.o"}, ErrRef},
		{"member absolute", Ref{File: "/x", Path: "/a.o"}, ErrRef},
		{"member nothing", Ref{File: "/x", Path: "."}, ErrRef},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.ref.place()
			wantError(t, err, c.want)
		})
	}
}

// TestSecretsStayOut looks for what a URL may hide in whatever is told of it.
func TestSecretsStayOut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			w.Header().Set("Location", "ftp://u:SECRET@h/?SECRET")
			w.WriteHeader(http.StatusFound)
		case "/odd":
			w.Header().Set("Location", "http://h:SECRET/")
			w.WriteHeader(http.StatusFound)
		case "/cut":
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	s := open(t, Options{})
	for _, u := range []string{
		"https://u:SECRET@h/x", "https://SECRET@h/x", "https://h:SECRET/", "ftp://h/?SECRET",
		srv.URL + "/?SECRET", srv.URL + "/cut?SECRET#SECRET", srv.URL + "/away?SECRET", srv.URL + "/odd", "http://127.0.0.1:1/?SECRET",
	} {
		err := s.Fetch(context.Background(), Ref{URL: u, SHA256: strings.Repeat("ab", 32)})
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", u, err)
		}
	}
}
