// Command exporter is what tests of upgrades upgrade: a server on a listener
// that it is given, or on one of its own, and as bad as its build says.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Set by the linker.
var (
	version = "v0.0.0"
	fault   = "" // how it is bad: exits, ends, hangs, wrong-version
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		shown := version
		if fault == "wrong-version" {
			shown = "v9.9.9"
		}
		fmt.Println("exporter", shown)
		return
	}
	switch fault {
	case "exits":
		os.Exit(3)
	case "ends":
		time.AfterFunc(time.Second, func() { os.Exit(4) })
	case "hangs":
		time.Sleep(time.Hour)
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	l, err := listener()
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, version)
	})}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-stop:
	}
	// Who was accepted is answered; who was not waits for another holder of the
	// listener. One that was accepted just now the server does not know yet.
	_ = l.Close()
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// listener is the one of LISTEN_FDS, or one on the address of the first argument.
func listener() (net.Listener, error) {
	if n, err := strconv.Atoi(os.Getenv("LISTEN_FDS")); err == nil && n > 0 {
		return net.FileListener(os.NewFile(3, "listener"))
	}
	return net.Listen("tcp", os.Args[1])
}
