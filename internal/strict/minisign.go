package strict

import "encoding/base64"

// MinisignKey is a public key as minisign prints it: the algorithm, an id of eight
// bytes, and a key of Ed25519, in base64.
type MinisignKey string

// ReadScalar refuses what is no such key.
func (k *MinisignKey) ReadScalar(v *Value) *Problem {
	if raw, err := base64.StdEncoding.DecodeString(v.Text); err != nil || len(raw) != 42 || string(raw[:2]) != "Ed" {
		return Problemf("bad-key", "not a public key of minisign").Hinted("56 characters that begin with RW")
	}
	*k = MinisignKey(v.Text)
	return nil
}

// ScalarSchema is its form.
func (*MinisignKey) ScalarSchema() Schema {
	return Schema{"type": "string", "pattern": "^RW[A-Za-z0-9+/]{54}$"}
}
