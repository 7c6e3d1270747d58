package bpf

import "bytes"

// Object is the compiled object.
func Object() []byte { return bytes.Clone(_LBBytes) }
