package lb

// Rest forgets what the maps held: another process writes them.
func (d *Driver) Rest(bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view, d.ahead = nil, ahead{}
	d.last.sums, d.last.hops = sums{}, nil
	clear(d.silent)
	d.forgetLook()
}
