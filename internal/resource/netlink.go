package resource

// Netlink is the driver of links, addresses, routes and what belongs to them.
const Netlink = "netlink"

// Marks that tell what is ours in the kernel. The numbers are a contract: a
// release that changed them would no longer know its own objects.
const (
	// Protocol is the rtm_protocol of our routes, the FRA_PROTOCOL of our
	// rules, the NDA_PROTOCOL of our neighbours and the IFA_PROTO of our
	// addresses (see deploy/rt_protos.d).
	Protocol = 210
	// LinkGroup is the IFLA_GROUP of links that we made.
	LinkGroup = 21059
	// DoomedGroup holds links of ours that are about to be deleted in one
	// request; a link left there by a crash is still ours.
	DoomedGroup = 21060
)

// MAC is a 48-bit link-layer address. Zero is unset.
type MAC [6]byte

// String prints an address as six pairs of hex digits; empty when unset.
func (m MAC) String() string {
	if m == (MAC{}) {
		return ""
	}
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, c := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return string(b)
}

// MarshalText writes what String prints.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads six pairs of hex digits, or nothing for unset.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	*m = v
	return err
}

// fields collects attributes that are set.
type fields []Field

func (f *fields) add(name, value string) {
	if value != "" {
		*f = append(*f, Field{name, value})
	}
}
