package wire

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Refusal is the kernel's answer to a message that it did not take.
type Refusal struct {
	Errno unix.Errno
	Text  string // the extended acknowledgement; empty where the kernel says nothing
}

func (r *Refusal) Error() string {
	text := r.Text
	if text == "" {
		text = r.Errno.Error()
	}
	if r.Errno == unix.EPERM {
		text += ", needs CAP_NET_ADMIN"
	}
	return text + " (" + unix.ErrnoName(r.Errno) + ")"
}

// Unwrap lets errors.Is find the errno.
func (r *Refusal) Unwrap() error { return r.Errno }

// Is reports that an error is a refusal with one of these numbers.
func Is(err error, numbers ...unix.Errno) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, n := range numbers {
		if r.Errno == n {
			return true
		}
	}
	return false
}

// refusal reads an NLMSG_ERROR or the error of an NLMSG_DONE; nil is success.
func refusal(m Message) error {
	if len(m.Body) < 4 {
		return nil
	}
	code := -int32(binary.NativeEndian.Uint32(m.Body))
	if code <= 0 {
		return nil
	}
	r := &Refusal{Errno: unix.Errno(code)}
	if m.Flags&unix.NLM_F_ACK_TLVS == 0 {
		return r
	}
	for a := After(m.Body, echoed(m)); a.Next(); {
		if a.Type == unix.NLMSGERR_ATTR_MSG {
			r.Text = Text(a.Value)
		}
	}
	return r
}

// echoed is the length of what stands before the attributes of an answer: the
// code and, in an error, the message that it is about.
func echoed(m Message) int {
	if m.Type != unix.NLMSG_ERROR || len(m.Body) < 4+headerSize {
		return 4
	}
	if m.Flags&unix.NLM_F_CAPPED != 0 {
		return 4 + headerSize
	}
	size := binary.NativeEndian.Uint32(m.Body[4:])
	return 4 + int(min(size, uint32(len(m.Body))))
}
