package main

import (
	"errors"

	"github.com/spf13/cobra"

	"reconciler/internal/desired"
	"reconciler/internal/source"
)

func (c *cli) renderCommand() *cobra.Command {
	var host string
	var allHosts, explain bool
	cmd := &cobra.Command{
		Use: "render [PATH]", Args: cobra.MaximumNArgs(1),
		Short: "Print the layers of a tree merged for a host",
	}
	cmd.Flags().StringVar(&host, "host", "", "for this host (default: this one)")
	cmd.Flags().BoolVar(&allHosts, "all-hosts", false, "for every host that fleet: names, a document each")
	cmd.Flags().BoolVar(&explain, "explain", false, "put layer, file and line beside each value")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if host != "" && allHosts {
			return exit(exitUsage, errors.New("--host and --all-hosts exclude each other"))
		}
		tree, err := source.ReadDir(pathOr(args, "."))
		if err != nil {
			return exit(checkParse, err)
		}
		if allHosts {
			return c.renderAll(tree, explain)
		}
		name, err := hostname(host)
		if err != nil {
			return err
		}
		return c.render(tree, name, explain)
	}
	return cmd
}

func (c *cli) renderAll(tree source.Tree, explain bool) error {
	d, err := desired.Check(tree.FS(), desired.Options{Version: version, Balancer: balancer()})
	if err != nil {
		return exit(checkFault, err)
	}
	for i, name := range d.Hosts {
		if i > 0 {
			c.printf("---")
		}
		c.printf("# host %s", name)
		if err := c.render(tree, name, explain); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) render(tree source.Tree, host string, explain bool) error {
	d, err := desired.Load(tree.FS(), desired.Options{Host: host, Version: version, Balancer: balancer()})
	if err != nil {
		return exit(checkFault, err)
	}
	text, err := d.Merged.YAML(explain)
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(text)
	return err
}

func (c *cli) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Args: cobra.NoArgs,
		Short: "Print the JSON Schema of the configuration, for editors",
		RunE: func(*cobra.Command, []string) error {
			_, err := c.stdout.Write(desired.Schema())
			return err
		},
	}
}
