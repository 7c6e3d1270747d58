package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler/internal/desired"
	"reconciler/internal/engine"
	"reconciler/internal/source"
	"reconciler/internal/strict"
)

// checkOptions are the flags of check.
type checkOptions struct {
	host     string
	allHosts bool
	failOn   string
	out      *output
}

func (o *checkOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.host, "host", "", "resolve the layers for this host")
	f.BoolVar(&o.allHosts, "all-hosts", false, "resolve the layers for every host that fleet: names (the default without --host)")
	f.StringVar(&o.failOn, "fail-on", "error", "error, or warning: exit 3 if there are only warnings")
	o.out = outputFlag(f, "text", "json", "github")
}

func (c *cli) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [PATH]",
		Short: "Tell every fault of a tree of YAML; needs no root, kernel or network",
		Args:  cobra.MaximumNArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return c.check(pathOr(args, "."), o) },
	}
	o.flags(cmd)
	return cmd
}

// addRootCheck makes `reconciler --check PATH` the same as `check PATH`.
func (c *cli) addRootCheck(root *cobra.Command) {
	var o checkOptions
	var path string
	root.Flags().StringVar(&path, "check", "", "the same as the command check PATH")
	o.flags(root)
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if path == "" {
			return cmd.Help()
		}
		return c.check(path, o)
	}
}

func pathOr(args []string, other string) string {
	if len(args) == 0 {
		return other
	}
	return args[0]
}

// reported is a fault as programs read it. File is below the path that check
// was given.
type reported struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Path     string `json:"path,omitempty"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`

	fault *strict.Fault
}

func (c *cli) check(path string, o checkOptions) error {
	if o.host != "" && o.allHosts {
		return exit(exitUsage, errors.New("--host and --all-hosts exclude each other"))
	}
	if o.failOn != "error" && o.failOn != "warning" {
		return exit(exitUsage, errors.New("--fail-on: want error or warning"))
	}
	tree, err := source.ReadDir(path)
	faults := faultsOf(err)
	if err == nil {
		faults = checkTree(tree, o)
	}
	list := make([]reported, len(faults))
	for i, f := range faults {
		list[i] = reported{f.Severity.String(), below(path, f.File), f.Line, f.Column, f.Path, f.Code, f.Message, f.Hint, f}
	}
	if err := c.printFaults(list, o.out); err != nil {
		return err
	}
	return exit(checkStatus(list, o.failOn == "warning"), nil)
}

// checkTree finds all faults: those of the language, and what the drivers say
// about what is declared for each host. Errors come first, then by place.
func checkTree(tree source.Tree, o checkOptions) []*strict.Fault {
	options := desired.Options{Host: o.host, Version: version, Now: time.Now(), Balancer: balancer()}
	d, err := desired.Check(tree.FS(), options)
	faults := faultsOf(err)
	if d == nil {
		return faults
	}
	seen := make(map[string]bool)
	for _, host := range hostsOf(d, o.host) {
		options.Host = host
		resolved, err := desired.Load(tree.FS(), options)
		if err != nil {
			continue // said above
		}
		for _, f := range engine.Faults(resolved, checkers()) {
			if !seen[f.Error()] {
				seen[f.Error()] = true
				faults = append(faults, f)
			}
		}
	}
	faults = append(faults, d.Warnings...)
	slices.SortStableFunc(faults, func(a, b *strict.Fault) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return faults
}

// hostsOf are the hosts that a tree is to be resolved for: the one asked for,
// all that it names, or none in particular.
func hostsOf(d *desired.Desired, asked string) []string {
	if asked != "" || len(d.Hosts) == 0 {
		return []string{asked}
	}
	return d.Hosts
}

// checkStatus is the exit status for what was found.
func checkStatus(faults []reported, strictly bool) int {
	isError := func(f reported) bool { return f.fault.Severity == strict.Error }
	switch {
	case slices.ContainsFunc(faults, func(f reported) bool { return isError(f) && f.fault.Parse }):
		return checkParse
	case slices.ContainsFunc(faults, isError):
		return checkFault
	case len(faults) > 0 && strictly:
		return checkWarning
	}
	return exitOK
}

func (c *cli) printFaults(faults []reported, out *output) error {
	switch out.value {
	case "json":
		return c.json(struct {
			Faults []reported `json:"faults"`
		}{append([]reported{}, faults...)})
	case "github":
		for _, f := range faults {
			c.printf("%s", f.github())
		}
	default:
		for _, f := range faults {
			c.printf("%s", f.text())
		}
		c.printf("%s", verdict(faults))
	}
	return nil
}

func (f reported) text() string {
	s := fmt.Sprintf("%s:%d:%d: %s: ", f.File, f.Line, f.Column, f.Severity)
	if f.Line == 0 {
		s = f.File + ": " + f.Severity + ": "
	}
	if f.Path != "" {
		s += f.Path + ": "
	}
	s += f.Message + " [" + f.Code + "]"
	if f.Hint != "" {
		s += "\n    " + f.Hint
	}
	return s
}

// github is the fault as a command of a workflow, which shows it beside the
// line.
func (f reported) github() string {
	message := f.Message
	if f.Path != "" {
		message = f.Path + ": " + message
	}
	if f.Hint != "" {
		message += " (" + f.Hint + ")"
	}
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	return fmt.Sprintf("::%s file=%s,line=%d,col=%d,title=%s::%s",
		f.Severity, property.Replace(f.File), max(f.Line, 1), max(f.Column, 1), property.Replace(f.Code), data.Replace(message))
}

func verdict(faults []reported) string {
	faulty, warnings := 0, 0
	for _, f := range faults {
		if f.fault.Severity == strict.Error {
			faulty++
		} else {
			warnings++
		}
	}
	switch {
	case faulty+warnings == 0:
		return "valid"
	case faulty == 0:
		return fmt.Sprintf("valid, with %s", count(warnings, "warning"))
	}
	return fmt.Sprintf("%s, %s", count(faulty, "error"), count(warnings, "warning"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
