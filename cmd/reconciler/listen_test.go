package main

import (
	"fmt"
	"net"
	"os"
)

// listen ADDRESS takes connections at an address, as a server of a VIP does,
// until it is killed.
func listen() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(0)
		}
		c.Close()
	}
}
