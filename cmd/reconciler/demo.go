package main

import (
	"os"

	"github.com/spf13/cobra"

	"reconciler/internal/demo"
)

func (c *cli) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Args: cobra.NoArgs,
		Short: "Watch it work, in throwaway network namespaces; nothing of this host is touched",
		RunE: func(cmd *cobra.Command, _ []string) error {
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			return demo.Run(cmd.Context(), demo.Options{Binary: binary, Out: c.stdout})
		},
	}
}
