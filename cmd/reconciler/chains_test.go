package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"reconciler/test/traffic"
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
	s, err := traffic.Open(os.Args[1], traffic.UDP())
	ended(err)
	count, err := strconv.Atoi(os.Args[2])
	ended(err)
	for count > 0 {
		n, err := s.Send(count)
		ended(err)
		count -= n
	}
}
