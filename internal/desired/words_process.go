package desired

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// byteSize is an amount of memory, with its unit.
type byteSize uint64

const sizePattern = `^[0-9]+(KiB|MiB|GiB)$`

const (
	minMemory = 1 << 20
	maxMemory = 1 << 40
)

func (s *byteSize) ReadScalar(v *strict.Value) *strict.Problem {
	for unit, shift := range map[string]uint{"KiB": 10, "MiB": 20, "GiB": 30} {
		digits, ok := strings.CutSuffix(v.Text, unit)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			continue
		}
		if n<<shift < minMemory || n<<shift > maxMemory {
			return strict.Problemf("out-of-range", "%s is not from 1MiB to 1024GiB", v.Text)
		}
		*s = byteSize(n << shift)
		return nil
	}
	return strict.Problemf("bad-size", "%q is no amount of memory", v.Text).Hinted("write 64MiB or 2GiB")
}

func (*byteSize) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": sizePattern}
}

// cpuShare is a share of one CPU, in percent; two of them are 200%.
type cpuShare uint32

const (
	cpuPattern = `^[0-9]{1,5}%$`
	maxCPU     = 51200
)

var cpuExp = regexp.MustCompile(cpuPattern)

func (s *cpuShare) ReadScalar(v *strict.Value) *strict.Problem {
	n, err := strconv.ParseUint(strings.TrimSuffix(v.Text, "%"), 10, 32)
	if !cpuExp.MatchString(v.Text) || err != nil || n == 0 || n > maxCPU {
		return strict.Problemf("bad-share", "%q is no share of a CPU", v.Text).Hinted("write 50%%, or 200%% for two CPUs")
	}
	*s = cpuShare(n)
	return nil
}

func (*cpuShare) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": cpuPattern}
}

// listenAddress is where somebody listens: ADDRESS:PORT, udp://ADDRESS:PORT, or
// the path of a unix socket.
type listenAddress resource.DaemonSocket

func (a *listenAddress) ReadScalar(v *strict.Value) *strict.Problem {
	network, address, ok := strings.Cut(v.Text, "://")
	if !ok {
		network, address = "tcp", v.Text
		if strings.HasPrefix(address, "/") {
			network = "unix"
		}
	}
	bad := strict.Problemf("bad-address", "%q is nowhere to listen", v.Text).Hinted("write 127.0.0.1:9100, udp://[::1]:53 or /run/x.sock")
	switch network {
	case "unix":
		// The kernel's sun_path has 108 bytes, one of them for the end.
		if !path.IsAbs(address) || path.Clean(address) != address || len(address) > 107 {
			return bad
		}
	case "tcp", "udp":
		host, port, err := net.SplitHostPort(address)
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 {
			return bad
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" {
			return bad
		}
	default:
		return bad
	}
	*a = listenAddress{Network: network, Address: address}
	return nil
}

func (*listenAddress) ScalarSchema() strict.Schema { return strict.Schema{"type": "string"} }
