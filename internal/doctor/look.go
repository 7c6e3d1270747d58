package doctor

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"reconciler/internal/resource"
)

// Flags of ETHTOOL_GFLAGS (linux/ethtool.h).
const (
	flagRxVLAN = 1 << 8
	flagLRO    = 1 << 15
)

// Look reads what is set of links beside what their resources tell, in the
// network namespace of the process. What a link has not is off.
func Look(have *resource.Set) (map[string]Link, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	out := map[string]Link{}
	have.Each(func(_ resource.Key, o resource.Object) bool {
		if l, ok := o.Resource.(resource.Link); ok {
			flags := offloads(fd, l.Name)
			out[l.Name] = Link{
				LRO: flags&flagLRO != 0, RxVLAN: flags&flagRxVLAN != 0,
				RPFilter: effective(l.Name, "rp_filter"), ARPIgnore: effective(l.Name, "arp_ignore"),
			}
		}
		return true
	})
	return out, nil
}

// effective is a parameter of IPv4 where the larger of two is in force: that of
// all links, and that of one.
func effective(link, name string) int {
	return max(parameter("all", name), parameter(link, name))
}

func parameter(link, name string) int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/" + name)
	if err != nil {
		return 0 // a link without IPv4
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// offloads are the flags of ETHTOOL_GFLAGS; 0 for a link without ethtool.
func offloads(fd int, link string) uint32 {
	value := struct{ command, data uint32 }{command: unix.ETHTOOL_GFLAGS}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // of the union in struct ifreq
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], link)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return 0
	}
	return value.data
}
