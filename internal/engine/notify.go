package engine

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier speaks to the service manager as sd_notify(3) does. The zero value
// says nothing.
type Notifier struct {
	// Send passes a state on: READY=1, STATUS=…, WATCHDOG=1.
	Send func(state string)
	// Watchdog is how often the manager wants to hear; 0 for never.
	Watchdog time.Duration
}

// SystemdNotifier reads NOTIFY_SOCKET and WATCHDOG_USEC through getenv. What
// cannot be sent is dropped: the manager's time-out says so better.
func SystemdNotifier(getenv func(string) string) Notifier {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return Notifier{}
	}
	if strings.HasPrefix(path, "@") { // abstract
		path = "\x00" + path[1:]
	}
	n := Notifier{Send: func(state string) {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Write([]byte(state))
	}}
	pid := getenv("WATCHDOG_PID")
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.Watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

func (n Notifier) send(state string) {
	if n.Send != nil {
		n.Send(state)
	}
}
