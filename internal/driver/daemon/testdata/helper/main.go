// Command helper is the process that tests of the driver keep running.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Println("helper:", err)
		os.Exit(3)
	}
}

func run(mode string, args []string) error {
	switch mode {
	case "sleep":
		fmt.Println("up", os.Getenv("SECRET") != "")
	case "exit":
		n, err := strconv.Atoi(args[0])
		if err == nil {
			os.Exit(n)
		}
		return err
	case "ignore", "leave", "fork", "forkleave":
		return ignore(mode, args)
	case "hog":
		time.Sleep(100 * time.Millisecond)
		for n := 0; n < 512; n++ {
			keep = append(keep, bytes.Repeat([]byte{1}, 1<<20))
		}
		fmt.Println("has it all")
	case "spam":
		line := strings.Repeat("x", 1023) + "\n"
		for {
			for range 512 {
				fmt.Print(line)
			}
			time.Sleep(20 * time.Millisecond)
		}
	case "show":
		return show()
	case "conf":
		return conf()
	case "notify":
		return notify()
	case "file":
		time.Sleep(200 * time.Millisecond)
		if err := os.WriteFile(args[0], nil, 0o644); err != nil {
			return err
		}
	case "there":
		_, err := os.Stat(args[0])
		return err
	case "tcp":
		time.Sleep(200 * time.Millisecond)
		if _, err := net.Listen("tcp", args[0]); err != nil {
			return err
		}
	case "serve":
		return serve(args[0])
	}
	return forever()
}

// forever is no select: the runtime takes that for a deadlock.
func forever() error {
	for {
		time.Sleep(time.Hour)
	}
}

var keep [][]byte

// ignore ends at no signal that can be ignored, nor does its child, which is
// of its session where it forks; one that leaves ends at once and its child does not.
func ignore(mode string, args []string) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	if len(args) > 0 && args[0] == "child" {
		return forever()
	}
	cmd := exec.Command("/proc/self/exe", append([]string{"ignore", "child"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: !strings.HasPrefix(mode, "fork")}
	if err := cmd.Start(); err != nil {
		return err
	}
	if strings.HasSuffix(mode, "leave") {
		return nil
	}
	return forever()
}

// show prints what it was given.
func show() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	fmt.Printf("%s", status)
	for _, e := range os.Environ() {
		fmt.Println("env", e)
	}
	dir, err := os.Getwd()
	fmt.Println("dir", dir, err)
	sid, _ := syscall.Getpgid(0)
	fmt.Println("leads", sid == os.Getpid())
	fmt.Printf("umask %o\n", syscall.Umask(0))
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	fmt.Printf("oom %s", score)
	fmt.Println("shown")
	return forever()
}

func conf() error {
	hup := make(chan os.Signal, 8)
	signal.Notify(hup, syscall.SIGHUP)
	for {
		text, err := os.ReadFile("conf")
		info, serr := os.Stat("conf")
		if err := errors.Join(err, serr); err != nil {
			return err
		}
		fmt.Println("conf has", len(text), "bytes, mode", info.Mode())
		<-hup
	}
}

func notify() error {
	time.Sleep(200 * time.Millisecond)
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte("STATUS=up\nREADY=1")); err != nil {
		return err
	}
	return forever()
}

// serve answers on its first listener with a word, and drains when it is to end.
func serve(word string) error {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") == "" {
		return errors.New("no listeners")
	}
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, word)
	})}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		<-term
		_ = l.Close()
		time.Sleep(100 * time.Millisecond) // who was accepted last has not asked yet
		_ = s.Shutdown(context.Background())
		close(done)
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	<-done
	fmt.Println("drained", filepath.Base(os.Args[0]))
	return nil
}
