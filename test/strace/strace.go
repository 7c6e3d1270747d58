// Package strace counts, in what `strace -yy -v -xx` prints, the requests to
// netlink that change something.
//
// It owns the reading of one line and nothing of how a program is traced, and
// imports nothing of ours.
package strace

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// Bytes as hex, and by name the types of messages that strace recognises.
var (
	messageType = regexp.MustCompile(`nlmsg_type=(0x[0-9a-f]+|\w+)`)
	hexBytes    = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})+)"`)
)

// Mutations counts the messages of one system call that are not known to read
// only. The line must be of a call that sends to a netlink socket; one without
// a whole message is an error.
func Mutations(line string) (int, error) {
	n := 0
	if known := messageType.FindAllStringSubmatch(line, -1); len(known) > 0 {
		for _, m := range known {
			if mutates(m[1]) {
				n++
			}
		}
		return n, nil
	}
	m := hexBytes.FindStringSubmatch(line)
	if m == nil {
		return 0, errors.New("a send without bytes")
	}
	data, err := Unhex(m[1])
	for err == nil && len(data) > 0 {
		size := 0
		if len(data) >= unix.NLMSG_HDRLEN {
			size = int(binary.NativeEndian.Uint32(data))
		}
		if size < unix.NLMSG_HDRLEN || size > len(data) {
			return 0, errors.New("no netlink message")
		}
		if !reads(binary.NativeEndian.Uint16(data[4:])) {
			n++
		}
		data = data[min(len(data), (size+3)&^3):]
	}
	return n, err
}

// mutates tells a type by its name or number; one that is not known may change
// something.
func mutates(kind string) bool {
	var number uint16
	if _, err := fmt.Sscanf(kind, "0x%x", &number); err == nil {
		return !reads(number)
	}
	return !strings.HasPrefix(kind, "RTM_GET")
}

// reads reports a request that reads: every fourth type from RTM_GETLINK on.
func reads(kind uint16) bool { return kind >= unix.RTM_BASE && kind%4 == unix.RTM_GETLINK%4 }

// Hex is a text as strace -xx prints it, without quotes.
func Hex(text string) string {
	var s strings.Builder
	for _, b := range []byte(text) {
		fmt.Fprintf(&s, `\x%02x`, b)
	}
	return s.String()
}

// Unhex is the reverse of Hex.
func Unhex(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, `\x`, "")) }
