package value

import (
	"fmt"
	"slices"

	"reconciler/internal/resource"
)

// opaque is what only programs or the kernel set: a lock, a timer, a pointer.
type opaque struct {
	bytes int
	what  string
}

func (n opaque) size() int      { return n.bytes }
func (n opaque) blank(b []byte) { clear(b) }

func (n opaque) put([]byte, resource.Value) error {
	return fmt.Errorf("it is a %s, which only programs set", n.what)
}

func (n opaque) get(b []byte, _ *resource.Value) resource.Value { return raw(b) }

// special are the structs that the kernel sets to zero when a value is written
// or read from outside.
var special = []string{
	"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_task_work", "bpf_refcount",
	"bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node", "bpf_dynptr",
}

func isSpecial(name string) bool { return slices.Contains(special, name) }
