package strace

import "testing"

func TestMutations(t *testing.T) {
	const (
		read  = `\x10\x00\x00\x00\x16\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00`
		write = `\x10\x00\x00\x00\x14\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00`
		early = `\x10\x00\x00\x00\x02\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00`
	)
	for _, c := range []struct {
		name, line string
		want       int // -1 for an error
	}{
		{"a dump in bytes", `write(3<NETLINK:[31]>, "` + read + `", 16) = 16`, 0},
		{"two writes and a dump in bytes", `write(3<NETLINK:[31]>, "` + write + read + write + `", 48 <unfinished ...>`, 2},
		{"a type below those of routing", `write(3<NETLINK:[31]>, "` + early + `", 16) = 16`, 1},
		{"types by name", `sendto(3<NETLINK:[31]>, [[{nlmsg_len=32, nlmsg_type=RTM_NEWADDR}], [{nlmsg_len=32, nlmsg_type=RTM_GETADDR}]], 64) = 64`, 1},
		{"types by number", `sendto(3<NETLINK:[31]>, [[{nlmsg_type=0x15 /* NLMSG_??? */}], [{nlmsg_type=0x16}], [{nlmsg_type=0x10}]], 64) = 64`, 2},
		{"a name that is not known", `sendto(3<NETLINK:[31]>, {nlmsg_type=NLMSG_DONE}, 32) = 32`, 1},
		{"half a message", `write(3<NETLINK:[31]>, "\x10", 1) = 1`, -1},
		{"less than it says", `write(3<NETLINK:[31]>, "\xff` + write[4:] + `", 16) = 16`, -1},
		{"no bytes", `write(3<NETLINK:[31]>, 0x7fff, 16) = 16`, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := Mutations(c.line)
			if (err != nil) != (c.want < 0) || err == nil && n != c.want {
				t.Errorf("got %d, %v; want %d", n, err, c.want)
			}
		})
	}
}

func TestHex(t *testing.T) {
	b, err := Unhex(Hex("/proc\n"))
	if err != nil || string(b) != "/proc\n" || Hex("/a") != `\x2f\x61` {
		t.Errorf("%q, %v, %s", b, err, Hex("/a"))
	}
}
