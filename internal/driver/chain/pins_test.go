package chain

import (
	"strings"
	"testing"

	"reconciler/internal/driver/bpffs"
)

// TestEscape wants names that a pin can have, and each back.
func TestEscape(t *testing.T) {
	for name, want := range map[string]string{
		"plain": "plain", ".rodata": "%2erodata", "eth0.7": "eth0%2e7", "a/b": "a%2fb",
		"100%": "100%25", "%2e": "%252e", "%252f./": "%25252f%2e%2f",
	} {
		got := bpffs.Escape(name)
		if got != want || strings.ContainsAny(got, "./") {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
		if back := bpffs.Unescape(got); back != name {
			t.Errorf("%s comes back as %s", name, back)
		}
	}
}
