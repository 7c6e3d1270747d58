package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// cli is one call of the program: what all commands share.
type cli struct {
	stdout, stderr io.Writer

	netns    string
	logLevel string
	log      *slog.Logger
	parsed   bool // the command line was understood
}

// execute parses the command line and runs a command.
func (c *cli) execute(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !c.parsed {
		fmt.Fprintf(c.stderr, "%v\n%s\n`reconciler --help` lists the commands.\n", err, nearest(root, args))
		return exitUsage
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{1, err}
	}
	if e.err != nil {
		fmt.Fprintf(c.stderr, "reconciler: %v\n", e.err)
	}
	return e.status
}

// nearest says which command was perhaps meant by one that is none.
func nearest(root *cobra.Command, args []string) string {
	cmd, _, err := root.Find(args)
	if err != nil || !cmd.HasSubCommands() || cmd.Flags().NArg() == 0 {
		return ""
	}
	cmd.SuggestionsMinimumDistance = 2 // swapped letters
	if near := cmd.SuggestionsFor(cmd.Flags().Arg(0)); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?\n"
	}
	return ""
}

// root is the table of contents.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "reconciler",
		Short:             "GitOps for the network dataplane of a Linux host",
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: c.prepare,
	}
	root.PersistentFlags().StringVar(&c.netns, "netns", "", "work in this network namespace: a name of `ip netns`, or a path")
	root.PersistentFlags().StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	c.addRootCheck(root)
	root.AddGroup(
		&cobra.Group{ID: "tree", Title: "YAML, on no host in particular:"},
		&cobra.Group{ID: "host", Title: "This host, with a PATH and no daemon, or through the daemon:"},
		&cobra.Group{ID: "daemon", Title: "The daemon:"},
		&cobra.Group{ID: "override", Title: "Other than the tree says, for a while:"},
	)
	c.add(root, "tree", c.checkCommand(), c.renderCommand(), c.schemaCommand())
	c.add(root, "host", c.diffCommand(), c.applyCommand(), c.confirmCommand(), c.captureCommand(), c.observeCommand(),
		c.showCommand(), c.getCommand(), c.explainCommand(), c.doctorCommand(), c.detachCommand())
	c.add(root, "daemon", c.runCommand(), c.statusCommand(), c.eventsCommand(), c.historyCommand(), c.syncCommand(),
		c.suspendCommand(), c.resumeCommand(), c.rollbackCommand(), c.approveCommand(), c.retryCommand())
	c.add(root, "override", c.drainCommand(), c.undrainCommand(), c.backendCommand(), c.disableCommand(), c.enableCommand())
	root.AddCommand(c.versionCommand(), c.demoCommand(), c.undoHelperCommand())
	return root
}

func (c *cli) add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}

// prepare runs once the command line is understood, before the command.
func (c *cli) prepare(cmd *cobra.Command, _ []string) error {
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(c.stderr, o)
	if isTerminal(c.stderr) {
		h = slog.NewTextHandler(c.stderr, o)
	}
	c.log = slog.New(h)
	c.parsed = true
	return nil
}

// fromEnvironment sets each flag that was not given from RECONCILER_NAME, with
// dashes as underscores.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "RECONCILER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if f.Changed || !ok || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

// color reports whether results may be coloured.
func (c *cli) color() bool { return os.Getenv("NO_COLOR") == "" && isTerminal(c.stdout) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// json writes a result for programs.
func (c *cli) json(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// jsonLine writes a result on one line.
func (c *cli) jsonLine(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// pad fills text up to a width.
func pad(s string, width int) string { return fmt.Sprintf("%-*s", width, s) }

// printf writes a line of a result for people.
func (c *cli) printf(format string, args ...any) {
	fmt.Fprintf(c.stdout, format+"\n", args...)
}

// say writes progress for people.
func (c *cli) say(format string, args ...any) {
	fmt.Fprintf(c.stderr, format+"\n", args...)
}

// output is the -o flag: one of a few formats, the first by default.
type output struct {
	value   string
	allowed []string
}

func outputFlag(flags *pflag.FlagSet, allowed ...string) *output {
	o := &output{value: allowed[0], allowed: allowed}
	flags.VarP(o, "output", "o", "format: "+strings.Join(allowed, ", "))
	return o
}

func (o *output) String() string { return o.value }

func (o *output) Type() string { return "format" }

func (o *output) Set(v string) error {
	for _, a := range o.allowed {
		if a == v {
			o.value = v
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(o.allowed, ", "))
}

func (o *output) isJSON() bool { return o.value == "json" }
