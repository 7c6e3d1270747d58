package daemon

import "golang.org/x/sys/unix"

// Rest lets another process have the processes: their listeners and what they
// tell can be held only once, and records have one writer. What the other one
// has made of them is read anew afterwards.
func (d *Driver) Rest(resting bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.sockets {
		unix.Close(f)
	}
	for _, p := range d.known {
		p.close()
	}
	clear(d.sockets)
	clear(d.known)
	d.last = resolved{}
	d.resting = resting // to the one that rests there are none
	d.stir()
}
