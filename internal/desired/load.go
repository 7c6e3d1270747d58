package desired

import (
	"io/fs"

	"reconciler/internal/strict"
)

func load(tree fs.FS, o Options) (*Desired, error) {
	t := open(tree, o)
	return t.finish(t.resolve(o))
}

func check(fsys fs.FS, o Options) (*Desired, error) {
	t := open(fsys, o)
	if o.Host != "" || t.stop || t.own == nil || len(t.own.Layers) == 0 {
		return t.finish(t.resolve(o))
	}
	t.shapes()
	for _, host := range t.hosts() {
		t.resolve(Options{Host: host, Version: o.Version})
	}
	if len(t.own.Fleet) == 0 {
		t.report.Warn(t.own.At(), strict.Problemf("no-fleet", "no host is named, so only each file by itself is checked").
			Hinted("name the hosts and their labels under fleet:"))
	}
	return t.finish(&Desired{Hosts: t.hosts()})
}

// shapes checks every file of every layer by itself, also those that no host
// has.
func (t *tree) shapes() {
	owned := t.owned()
	for _, dir := range sortedKeys(owned) {
		for _, name := range owned[dir] {
			for _, doc := range t.file(name, dir).docs {
				t.decoder.Shape(doc, t.report)
				t.roots = append(t.roots, doc)
			}
		}
	}
}
