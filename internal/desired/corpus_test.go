package desired

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/strict"
)

// faultsOf are the errors that Load and Check return.
func faultsOf(t testing.TB, err error) []*strict.Fault {
	t.Helper()
	if err == nil {
		return nil
	}
	var all *multierror.Error
	if !errors.As(err, &all) {
		t.Fatalf("not a list of faults: %v", err)
	}
	var out []*strict.Fault
	for _, e := range all.Errors {
		var f *strict.Fault
		if !errors.As(e, &f) {
			t.Fatalf("not a fault: %v", e)
		}
		out = append(out, f)
	}
	return out
}

// expected is a line of a file's head: position, where it is told, and code.
var expected = regexp.MustCompile(`^# (exit|at|warning): (\d+)(?::(\d+))?(?: ([a-z0-9-]+))?`)

// TestBad holds each file of testdata/bad against its first lines: the exit
// status of check, and every error and warning in order.
func TestBad(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 150 {
		t.Fatalf("found only %d files", len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			compareWithHead(t, string(content))
		})
	}
}

func compareWithHead(t *testing.T, content string) {
	t.Helper()
	d, err := Load(fstest.MapFS{"x.yaml": {Data: []byte(content)}}, Options{Balancer: ownBalancer(), Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	got := map[string][]*strict.Fault{"at": faultsOf(t, err), "warning": d.Warnings}
	status := "2"
	for _, f := range got["at"] {
		if f.Parse {
			status = "1"
		}
		if f.Message == "" || f.File != "x.yaml" {
			t.Errorf("fault without message or file: %+v", f)
		}
	}
	if len(got["at"]) == 0 {
		t.Error("accepted")
	}
	for _, line := range strings.Split(content, "\n") {
		m := expected.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[1] == "exit" && m[2] != status:
			t.Errorf("exit status %s, want %s", status, m[2])
		case m[1] == "exit":
		case len(got[m[1]]) == 0:
			t.Errorf("missing: %s", line)
		default:
			if f := got[m[1]][0]; !matches(m, f) {
				t.Errorf("got %v\nwant %s", f, line)
			}
			got[m[1]] = got[m[1]][1:]
		}
	}
	for _, f := range got["at"] {
		t.Errorf("more than expected: %v", f)
	}
	for _, f := range got["warning"] {
		t.Errorf("more than expected: %v", f)
	}
}

func matches(m []string, f *strict.Fault) bool {
	return m[2] == fmt.Sprint(f.Line) && (m[3] == "" || m[3] == fmt.Sprint(f.Column)) && (m[4] == "" || m[4] == f.Code)
}
