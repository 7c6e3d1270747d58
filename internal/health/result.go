package health

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Code is how a probe ended.
type Code uint8

// How probes end; zero is no probe yet.
const (
	OK          Code = iota + 1
	Timeout          // no whole answer in time
	Refused          // nobody listens
	Reset            // the connection was torn down
	Unreachable      // no way to the target, as the kernel or a router says
	BadTLS           // no handshake, or a certificate that will not do
	BadProtocol      // an answer that is none
	BadStatus        // a status that is not wanted
	BadBody          // a body without what is wanted
	Local            // this host could not ask: it says nothing about the target
)

// Codes are all codes, for who counts by them from the start.
func Codes() []Code {
	return []Code{OK, Timeout, Refused, Reset, Unreachable, BadTLS, BadProtocol, BadStatus, BadBody, Local}
}

func (c Code) String() string {
	switch c {
	case OK:
		return "ok"
	case Timeout:
		return "timeout"
	case Refused:
		return "refused"
	case Reset:
		return "reset"
	case Unreachable:
		return "unreachable"
	case BadTLS:
		return "tls"
	case BadProtocol:
		return "protocol"
	case BadStatus:
		return "status"
	case BadBody:
		return "body"
	case Local:
		return "local"
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Result is what a probe was told.
type Result struct {
	Code     Code
	Detail   string        // why it is not OK, for people; at most 200 bytes
	At       Moment        // its end
	Duration time.Duration // from its first system call to its end
}

// Moment is a point in time by both clocks: what is compared is Mono, Wall is
// for people.
type Moment struct {
	Mono time.Duration // on the clock of Config
	Wall time.Time
}

const maxDetail = 200

// failure is an error that knows its code.
type failure struct {
	code Code
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failed gives an error a code, unless what failed was the network below: then
// that tells more.
func failed(code Code, err error) error {
	if below := codeOf(err); below != 0 {
		code = below
	}
	return &failure{code, err}
}

// local is an error that is no fault of the target.
func local(err error) error { return &failure{Local, err} }

// codeOf is the code of an error of a connected socket; zero where its text is
// all that it has.
func codeOf(err error) Code {
	var known *failure
	var errno unix.Errno
	switch {
	case errors.As(err, &known):
		return known.code
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &errno):
		return codeOfErrno(errno)
	}
	return 0
}

func codeOfErrno(errno unix.Errno) Code {
	switch errno {
	case unix.ECONNREFUSED:
		return Refused
	case unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED:
		return Reset
	case unix.ETIMEDOUT:
		return Timeout
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ENONET, unix.EACCES,
		unix.ENOPROTOOPT, unix.EPROTO: // the last two: an ICMP error of a router or the target
		return Unreachable
	}
	return Local // no memory, no port, no such source, not permitted
}

// outcome is the code and the detail of what a probe returned.
func outcome(err error) (Code, string) {
	if err == nil {
		return OK, ""
	}
	code := codeOf(err)
	if code == 0 {
		code = BadProtocol
	}
	detail := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		detail = "the connection ended too early"
	}
	return code, printable(detail)
}

// printable is what of a text, in which a stranger may have a say, is fit for a
// terminal.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), maxDetail)], "")
}
