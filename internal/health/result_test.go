package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"golang.org/x/sys/unix"
	"io"
	"os"
	"strings"
	"testing"
)

// What fails below tells more than what failed because of it, and what this host
// cannot do is never the target's fault.
func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		err  error
		code Code
	}{
		{nil, OK},
		{errors.New("what is this"), BadProtocol},
		{io.ErrUnexpectedEOF, BadProtocol},
		{failed(BadTLS, tls.RecordHeaderError{}), BadTLS},
		{failed(BadTLS, fmt.Errorf("read: %w", unix.ECONNRESET)), Reset},
		{failed(BadBody, os.ErrDeadlineExceeded), Timeout},
		{fmt.Errorf("connect: %w", failed(BadBody, local(unix.ECONNREFUSED))), Local},
		{&os.PathError{Err: os.NewSyscallError("connect", unix.ECONNREFUSED)}, Refused},
		{unix.EPIPE, Reset}, {unix.EHOSTUNREACH, Unreachable}, {unix.ENETUNREACH, Unreachable}, {unix.ETIMEDOUT, Timeout},
		{unix.EMFILE, Local}, {unix.ENFILE, Local}, {unix.ENOMEM, Local}, {unix.ENOBUFS, Local},
		{unix.EADDRNOTAVAIL, Local}, {unix.EPERM, Local}, {unix.EINVAL, Local}, {unix.EAGAIN, Local},
		{local(context.Canceled), Local},
	} {
		code, detail := outcome(c.err)
		if code != c.code || (detail == "") != (code == OK) {
			t.Errorf("%v is %v %q, want %v", c.err, code, detail, c.code)
		}
	}
}

func TestDetailIsFitForATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"x509: fine, é":                        "x509: fine, é",
		"a\x1b[2Jb\r\nc\x00\u202e":             "a?[2Jb??c??",
		"\xff\xfe":                             "\ufffd\ufffd",
		strings.Repeat("a", 1000):              strings.Repeat("a", maxDetail),
		"a" + strings.Repeat("é", maxDetail/2): "a" + strings.Repeat("é", maxDetail/2-1),
	} {
		if _, got := outcome(errors.New(text)); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestNamesOfAll(t *testing.T) {
	var names []string
	for _, v := range Types() {
		names = append(names, v.String())
	}
	for _, v := range Codes() {
		names = append(names, v.String())
	}
	for _, v := range States() {
		names = append(names, v.String())
	}
	want := "icmp tcp http https ok timeout refused reset unreachable tls protocol status body local unknown up down"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
