package resource

// KindUnsupported is what YAML may say and this build cannot apply.
const KindUnsupported Kind = "unsupported"

// Unsupported stands for a part of YAML that is accepted and not applied. It
// keeps a host from being called in sync.
type Unsupported struct {
	Name string `json:"name"`           // fdb of vx100
	Link string `json:"link,omitempty"` // what it belongs to
}

// Key identifies it by its name.
func (u Unsupported) Key() Key { return Key{Netlink, KindUnsupported, u.Name} }

// Requires nothing.
func (u Unsupported) Requires() []Key { return nil }

// Parent is the link it belongs to.
func (u Unsupported) Parent() string { return u.Link }

// Equal compares names.
func (u Unsupported) Equal(o Resource) bool { return Resource(u) == o }

// Fields lists nothing.
func (u Unsupported) Fields() []Field { return nil }
