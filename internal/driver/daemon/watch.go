package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"reconciler/internal/clock"
	"reconciler/internal/resource"
)

// Watch tells of processes that ended or became ready, and asks those that are
// not ready yet.
func (d *Driver) Watch(ctx context.Context, changed func(...resource.Key)) error {
	stop := context.AfterFunc(ctx, d.stir)
	defer stop()
	var asking errgroup.Group
	defer asking.Wait() // they end with the context
	for ctx.Err() == nil {
		wait, fds := d.await()
		if err := d.sleep(fds, wait); err != nil {
			return fmt.Errorf("watch processes: %w", err)
		}
		if keys := d.lookAll(); len(keys) > 0 {
			changed(keys...)
		}
		for _, p := range d.unready() {
			asking.Go(func() error { d.ask(ctx, p, changed); return nil })
		}
	}
	return nil
}

// await is what to wait for: processes, what they say, another set of them;
// and for how long, in ms, -1 for ever.
func (d *Driver) await() (wait int, fds []unix.PollFd) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fds = []unix.PollFd{{Fd: int32(d.wake.Fd()), Events: unix.POLLIN}}
	wait = -1
	for _, p := range d.known {
		if p.pidfd < 0 {
			continue
		}
		fds = append(fds, unix.PollFd{Fd: int32(p.pidfd), Events: unix.POLLIN})
		if p.hears != nil {
			fds = append(fds, unix.PollFd{Fd: int32(p.hears.fd), Events: unix.POLLIN})
		}
		if p.Ready == 0 {
			wait = int(probeEvery / time.Millisecond)
		} else if wait < 0 {
			wait = int(logEvery / time.Millisecond)
		}
	}
	return wait, fds
}

// logEvery is how often logs are looked at for their size.
const logEvery = time.Second

func (d *Driver) sleep(fds []unix.PollFd, wait int) error {
	_, err := unix.Poll(fds, wait)
	if errors.Is(err, unix.EINTR) {
		err = nil
	}
	if fds[0].Revents != 0 {
		_, _ = d.wake.Read(make([]byte, 8)) // it says no more than that
	}
	return err
}

// lookAll returns what has changed since the last look.
func (d *Driver) lookAll() []resource.Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keys []resource.Key
	for _, p := range d.known {
		state, ready := p.State, p.Ready
		if p.hears != nil {
			p.heard()
		}
		d.look(p)
		if p.State != state || p.Ready != ready {
			if p.Ready != ready {
				d.keepRecord(p)
			}
			keys = append(keys, p.Daemon.Key())
		}
		d.rotate(p.Daemon)
	}
	return keys
}

// unready are copies of the processes that are to be asked, once at a time.
func (d *Driver) unready() []process {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []process
	for _, p := range d.known {
		r := p.Daemon.Ready
		if p.pidfd >= 0 && p.Ready == 0 && !p.asked && p.State == resource.DaemonRunning && (r.HTTP != "" || r.TCP != "" || len(r.Exec) > 0) {
			p.asked = true
			out = append(out, *p)
		}
	}
	return out
}

// ask asks a process once whether it is ready, and not sooner again than after a
// while.
func (d *Driver) ask(ctx context.Context, p process, changed func(...resource.Key)) {
	one, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := d.probe(one, p)
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(probeEvery):
		}
	}
	if d.answered(p, err == nil) {
		changed(p.Daemon.Key())
	}
}

func (d *Driver) probe(ctx context.Context, p process) error {
	switch r := p.Daemon.Ready; {
	case r.HTTP != "":
		return d.probeHTTP(ctx, p)
	case r.TCP != "":
		c, err := d.dialProcess(ctx, p, r.TCP)
		if err != nil {
			return err
		}
		return c.Close()
	}
	return d.probeExec(ctx, p.Daemon)
}

func (d *Driver) probeHTTP(ctx context.Context, p process) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Daemon.Ready.HTTP, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return d.dialProcess(ctx, p, address)
	}}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}

// answered notes that a process is ready, if it is still the one that was asked.
func (d *Driver) answered(asked process, ready bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.known[asked.file]
	if p == nil || p.PID != asked.PID {
		return false
	}
	p.asked = false
	if !ready || p.pidfd < 0 || p.Ready != 0 {
		return false
	}
	p.Ready = clock.Boottime()
	d.keepRecord(p)
	return true
}
