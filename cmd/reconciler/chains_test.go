package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// scrape prints what a daemon in this network namespace tells Prometheus.
func scrape() {
	r, err := http.Get("http://127.0.0.1:9377/metrics")
	if err == nil {
		_, err = io.Copy(os.Stdout, r.Body)
	}
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", r.Status)
	}
	ended(err)
}

func ended(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// frames LINK COUNT puts UDP packets on a link.
func frames() {
	link, err := net.InterfaceByName(os.Args[1])
	ended(err)
	count, err := strconv.Atoi(os.Args[2])
	ended(err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	ended(err)
	frame := make([]byte, 60)
	frame[12] = 0x08 // IPv4
	copy(frame[14:], []byte{0x45, 0, 0, 46, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	for range count {
		ended(unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}))
	}
}
