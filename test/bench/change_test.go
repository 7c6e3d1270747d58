package main

import "testing"

func TestCountRequests(t *testing.T) {
	const trace = `1 sendto(3<NETLINK:[ROUTE:1]>, [{nlmsg_len=32, nlmsg_type=RTM_NEWADDR, nlmsg_flags=0}], 32) = 32
2 write(2</dev/pts/0<char 136:0>>, "bench: control\n", 15) = 15
1 sendto(3<NETLINK:[ROUTE:1]>, [{nlmsg_len=32, nlmsg_type=0x15 /* NLMSG_??? */, nlmsg_flags=0}], 32) = 32
1 write(2, "bench: repair\n", 14) = 14
1 sendto(5<NETLINK:[GENERIC:1]>, [{nlmsg_len=32, nlmsg_type=0x10, nlmsg_flags=0}], 32) = 32
1 sendto(3<NETLINK:[ROUTE:1]>, [{nlmsg_len=32, nlmsg_type=RTM_GETADDR, nlmsg_flags=0}], 32) = 32
1 sendto(3<NETLINK:[ROUTE:1]>, [{nlmsg_len=32, nlmsg_type=0x16 /* NLMSG_??? */, nlmsg_flags=0}], 32) = 32
1 sendto(3<NETLINK:[ROUTE:1]>, [[{nlmsg_len=32, nlmsg_type=0x14}], [{nlmsg_len=32, nlmsg_type=RTM_NEWROUTE}]], 64) = 64
1 write(2, "bench: end\n", 11) = 11
1 sendto(3<NETLINK:[ROUTE:1]>, [{nlmsg_len=32, nlmsg_type=RTM_NEWADDR, nlmsg_flags=0}], 32) = 32
`
	control, repair, err := countRequests(trace)
	if err != nil || control != 1 || repair != 2 {
		t.Errorf("control %d, repair %d, %v; want 1, 2", control, repair, err)
	}
	if _, _, err := countRequests(trace[:200]); err == nil {
		t.Error("a trace without its end is no error")
	}
}
