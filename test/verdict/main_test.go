package main

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	const (
		pass    = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}` + "\n"
		fail    = `{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: broken\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
		skip    = `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
		guest   = `{"Action":"skip","Package":"p","Test":"TestGuestVLAN"}` + "\n"
		systemd = `{"Action":"skip","Package":"p","Test":"TestSystemdStop"}` + "\n"
		build   = `{"ImportPath":"p","Action":"build-output","Output":"x.go:1: undefined\n"}` + "\n" + `{"ImportPath":"p","Action":"build-fail"}` + "\n"
		none    = `{"Action":"skip","Package":"q"}` + "\n"
	)
	for _, tt := range []struct {
		name, in string
		ci       bool
		err      string
		out      string
	}{
		{"passes", pass + none, true, "", "1 passed, 0 failed, 0 skipped"},
		{"fails and says why", pass + fail, false, "1 failed", "b_test.go:1: broken"},
		{"a skip is told", pass + skip, false, "", "skip  p TestC"},
		{"a skip in CI fails", pass + skip, true, "skipped in CI: p TestC", "1 skipped"},
		{"a guest runs it", pass + guest, true, "", "skip  p TestGuestVLAN"},
		{"a guest with systemd runs it", pass + systemd, true, "", "skip  p TestSystemdStop"},
		{"nothing ran", none, true, "no test ran", "0 passed"},
		{"does not build", pass + build, false, "1 failed", "FAIL  p  0.0s\nx.go:1: undefined"},
		{"the compiler speaks", "x.go:1: no\n" + pass, true, "", "x.go:1: no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(tt.in), &out, tt.ci)
			if got := errText(err); got != tt.err {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("output lacks %q:\n%s", tt.out, out.String())
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
