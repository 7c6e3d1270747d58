package state

import (
	"strconv"
	"testing"

	"reconciler/internal/testns"
)

func TestNamespaceOfItsOwn(t *testing.T) {
	before, err := Namespace()
	if err != nil {
		t.Fatal(err)
	}
	one, two := testns.New(t), testns.New(t)
	a, b := identify(t, one), identify(t, two)
	if want, err := inode(one.Path()); err != nil || a.Name != strconv.FormatUint(want, 10) {
		t.Errorf("name %q, want %d (%v)", a.Name, want, err)
	}
	if a.Cookie == b.Cookie || a.Cookie == before.Cookie {
		t.Errorf("cookies are not unique: %d, %d, %d", a.Cookie, b.Cookie, before.Cookie)
	}
	if a.Boot != b.Boot || len(a.Boot) != 36 {
		t.Errorf("boots %q, %q", a.Boot, b.Boot)
	}
	if again := identify(t, one); again != a {
		t.Errorf("got %v and then %v", a, again)
	}
}

// Whether or not the tests run in a namespace of their own, a new one is not
// the host's, and only one of the two can be.
func TestHostIsTheNamespaceOfProcessOne(t *testing.T) {
	id, err := Namespace()
	if err != nil {
		t.Fatal(err)
	}
	if other := identify(t, testns.New(t)); other.Name == Host {
		t.Errorf("a new namespace is %v", other)
	}
	own, err := inode("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	first, err := inode("/proc/1/ns/net")
	if err != nil { // not ours to look at; kthreadd lives there too
		first, err = inode("/proc/2/ns/net")
	}
	if err == nil && (id.Name == Host) != (own == first) {
		t.Errorf("named %q in namespace %d, while process 1 is in %d", id.Name, own, first)
	}
}

func identify(t *testing.T, ns *testns.NS) (id Identity) {
	t.Helper()
	ns.Do(func() {
		var err error
		if id, err = Namespace(); err != nil {
			t.Fatal(err)
		}
	})
	return id
}
