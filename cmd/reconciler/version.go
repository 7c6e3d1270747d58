package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=v0.1.0); empty in a
// development build.
var version = ""

// build says which build this is.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"` // of the commit
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				b.Commit += "-dirty"
			}
		}
	}
	return b
}

// name is the version for people.
func (b build) name() string {
	if b.Version == "" {
		return "development"
	}
	return b.Version
}

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print which build this is", Args: cobra.NoArgs}
	out := outputFlag(cmd.Flags(), "text", "json")
	cmd.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		if out.isJSON() {
			return c.json(b)
		}
		c.printf("reconciler %s", b.name())
		if b.Commit != "" {
			c.printf("commit %s of %s", b.Commit, b.Date)
		}
		c.printf("%s %s/%s", b.Go, runtime.GOOS, runtime.GOARCH)
		return nil
	}
	return cmd
}
