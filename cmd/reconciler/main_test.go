package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"reconciler/internal/testns"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"reconciler": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
		"scrape":     scrape,
		"frames":     frames,
		"listen":     listen,
	})
}

// TestScripts plays the scenarios in testdata with the real program against
// the real kernel, each in a network namespace of its own ($NS).
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			t.Parallel()
			play(t, script)
		})
	}
}

// play plays one scenario.
func play(t *testing.T, script string) {
	ns := testns.New(t)
	dropPins(t, ns)
	testscript.Run(t, testscript.Params{
		Files: []string{script},
		Setup: func(e *testscript.Env) error { return setup(t, e, ns) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ip":         ip,
			"exits":      exits,
			"eventually": within(patience),
			"promptly":   within(promptness),
			"set":        set,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func setup(t *testing.T, e *testscript.Env, ns *testns.NS) error {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		return err
	}
	object, err := filepath.Abs(verdictObject)
	if err != nil {
		return err
	}
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		e.Setenv("LD_LIBRARY_PATH", libraries)
	}
	e.Setenv("EXAMPLES", examples)
	e.Setenv("OBJECT", object)
	e.Setenv("PINS", pinsOf(t, ns))
	e.Setenv("NS", ns.Name)
	// A script may make a namespace for the other side.
	e.Defer(func() { _ = exec.Command("ip", "netns", "delete", ns.Name+"-far").Run() })
	e.Setenv("RECONCILER_NETNS", ns.Name)
	e.Setenv("RECONCILER_STATE_DIR", filepath.Join(e.WorkDir, "state"))
	e.Setenv("RECONCILER_SOCKET", filepath.Join(e.WorkDir, "api.sock"))
	e.Setenv("RECONCILER_METRICS", "")
	e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		e.Setenv("GIT_"+who+"_NAME", "tester")
		e.Setenv("GIT_"+who+"_EMAIL", "tester@example.net")
	}
	return nil
}

// ip runs ip in the namespace of the script.
func ip(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("ip", append([]string{"-n", ts.Getenv("NS")}, args...)...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("ip %s: %v", strings.Join(args, " "), err)
	case err == nil && neg:
		ts.Fatalf("ip %s: unexpected success", strings.Join(args, " "))
	}
}

// exits STATUS ARGS… runs reconciler and wants this exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec("reconciler", args[1:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("reconciler %s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// set NAME PATTERN sets a variable to the first group of a pattern in the last
// output.
func set(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: set NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("no match for %q", args[1])
	}
	ts.Setenv(args[0], m[1])
}

const (
	// patience is how long eventually waits.
	patience = 20 * time.Second
	// promptness is how long promptly waits: too short for the daemon to look
	// without having heard of a change. It takes a second at most, by itself.
	promptness = 2 * time.Second
)

// within returns a command, PATTERN PROGRAM ARGS…, that runs a program until
// its output matches; with ! until it does not. ip works in the namespace of
// the script.
func within(limit time.Duration) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) { await(ts, neg, limit, args) }
}

func await(ts *testscript.TestScript, neg bool, limit time.Duration, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually|promptly PATTERN PROGRAM ARGS...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	program, rest := args[1], args[2:]
	if program == "ip" {
		rest = append([]string{"-n", ts.Getenv("NS")}, rest...)
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(program, rest...)
		if pattern.MatchString(ts.ReadFile("stdout")) != neg && (err == nil || program != "ip") {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s %s: not within %s (%v)", program, strings.Join(rest, " "), limit, err)
		}
	}
}
