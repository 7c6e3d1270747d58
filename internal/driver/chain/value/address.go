package value

import (
	"net/netip"
	"strings"

	"reconciler/internal/resource"
)

func putIPv4(b []byte, text string) bool {
	addr, ok := parseAddr(text)
	if !ok || !addr.Is4() {
		return false
	}
	octets := addr.As4()
	copy(b, octets[:])
	return true
}

func putIPv6(b []byte, text string) bool {
	addr, ok := parseAddr(text)
	if !ok || !addr.Is6() || addr.Zone() != "" {
		return false
	}
	octets := addr.As16()
	copy(b, octets[:])
	return true
}

// parseAddr makes no error of what cannot be an address.
func parseAddr(text string) (netip.Addr, bool) {
	if len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || strings.IndexByte(text, '.') < 0 && strings.IndexByte(text, ':') < 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(text)
	return addr, err == nil
}

func isIPv4(text string) bool {
	addr, ok := parseAddr(text)
	return ok && addr.Is4()
}

func ipv4(b []byte) string { return netip.AddrFrom4([4]byte(b)).String() }
func ipv6(b []byte) string { return netip.AddrFrom16([16]byte(b)).String() }

// macLength is that of 02:00:5e:10:00:01.
const macLength = 17

// putMAC takes six pairs of digits with colons or hyphens between them.
func putMAC(b []byte, text string) bool {
	if len(text) != macLength {
		return false
	}
	for i := range 6 {
		high, low := digit(text[3*i]), digit(text[3*i+1])
		if high > 15 || low > 15 || i < 5 && text[3*i+2] != text[2] {
			return false
		}
		b[i] = high<<4 | low
	}
	return text[2] == ':' || text[2] == '-'
}

func mac(b []byte) string {
	const digits = "0123456789abcdef"
	text := make([]byte, 0, macLength)
	for i, octet := range b[:6] {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, digits[octet>>4], digits[octet&15])
	}
	return string(text)
}

// putAddress takes an address that is as wide as b.
func putAddress(b []byte, text string) bool {
	switch len(b) {
	case 4:
		return putIPv4(b, text)
	case 6:
		return putMAC(b, text)
	case 16:
		return putIPv6(b, text)
	}
	return false
}

// address tells bytes as an address, where one is as wide.
func address(b []byte) (resource.Value, bool) {
	switch len(b) {
	case 4:
		return resource.Scalar(ipv4(b)), true
	case 6:
		return resource.Scalar(mac(b)), true
	case 16:
		return resource.Scalar(ipv6(b)), true
	}
	return resource.Value{}, false
}

// likeAddress tells bytes as an address where want is one.
func likeAddress(b []byte, want *resource.Value) (resource.Value, bool) {
	if want == nil || want.Text == "" || !putAddress(make([]byte, len(b)), want.Text) {
		return resource.Value{}, false
	}
	return address(b)
}

// addressOf names the address that is as wide, for errors.
func addressOf(size int) string {
	switch size {
	case 4:
		return ", an IPv4 address"
	case 6:
		return ", a MAC address"
	case 16:
		return ", an IPv6 address"
	}
	return ""
}
