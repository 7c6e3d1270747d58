package main

import (
	"strings"
	"testing"

	"reconciler/test/strace"
)

func TestCountRequests(t *testing.T) {
	trace := strings.NewReplacer("CONTROL", strace.Hex(markControl), "REPAIR", strace.Hex(markRepair), "END", strace.Hex(markEnd)).Replace(
		`1 socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3<NETLINK:[31]>
1 socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC) = 5<NETLINK:[51]>
1 sendto(3<NETLINK:[31]>, [{nlmsg_len=32, nlmsg_type=RTM_NEWADDR, nlmsg_flags=0}], 32) = 32
2 write(2</dev/pts/0<char 136:0>>, "CONTROL", 15) = 15
1 sendto(3<NETLINK:[31]>, [{nlmsg_len=32, nlmsg_type=0x15 /* NLMSG_??? */, nlmsg_flags=0}], 32) = 32
1 write(2, "REPAIR", 14) = 14
1 sendto(5<NETLINK:[51]>, [{nlmsg_len=32, nlmsg_type=0x10, nlmsg_flags=0}], 32) = 32
1 write(3<NETLINK:[31]>, "\x10\x00\x00\x00\x16\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00", 16) = 16
1 write(3<NETLINK:[31]>, "\x10\x00\x00\x00\x14\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x19\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00", 32) = 32
1 sendto(3<NETLINK:[31]>, [{nlmsg_len=32, nlmsg_type=RTM_GETADDR, nlmsg_flags=0}], 32) = 32
1 sendto(3<NETLINK:[31]>, [[{nlmsg_len=32, nlmsg_type=0x14}], [{nlmsg_len=32, nlmsg_type=RTM_NEWROUTE}]], 64) = 64
1 write(2, "END", 11) = 11
1 sendto(3<NETLINK:[31]>, [{nlmsg_len=32, nlmsg_type=RTM_NEWADDR, nlmsg_flags=0}], 32) = 32
`)
	control, repair, err := countRequests(trace)
	if err != nil || control != 1 || repair != 4 {
		t.Errorf("control %d, repair %d, %v; want 1, 4", control, repair, err)
	}
	if _, _, err := countRequests(trace[:200]); err == nil {
		t.Error("a trace without its end is no error")
	}
}
