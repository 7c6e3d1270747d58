package desired

import (
	"io/fs"
	"runtime"
	"slices"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

// tree is a tree of YAML whose files are read once, for however many hosts.
type tree struct {
	fs      fs.FS
	report  *strict.Report
	reader  *strict.Reader
	decoder *strict.Decoder[document]
	names   []string
	files   map[string]*sourceFile
	own     *treeYAML           // of reconciler.yaml; nil without one
	byLayer map[string][]string // files by the directory of their layer
	roots   []*strict.Value     // where the paths of faults are looked for
	around  *surroundings
	stop    bool // nothing below the tree's own file is to be read
	tooOld  bool // because this build is not new enough
}

func open(fsys fs.FS, o Options) *tree {
	r := new(strict.Report)
	t := &tree{
		fs: fsys, report: r, reader: strict.NewReader(r), decoder: strict.NewDecoder[document](),
		files: make(map[string]*sourceFile), around: &surroundings{fs: fsys, arch: o.Arch, now: o.Now, balancer: o.Balancer, objects: make(map[string]*resource.Blob)},
	}
	if o.Arch == "" {
		t.around.arch = runtime.GOARCH
	}
	t.names = yamlFiles(fsys, r)
	if slices.Contains(t.names, treeFile) {
		t.readOwn(o)
	}
	return t
}

// readOwn reads reconciler.yaml. A tree that needs a newer build is not read
// any further: its other faults may be no faults there.
func (t *tree) readOwn(o Options) {
	f := t.file(treeFile, "")
	t.own = new(treeYAML)
	if len(f.docs) == 0 {
		t.stop = t.report.Parse()
		return
	}
	root := t.join(f.docs, map[*strict.File]int{f.File: 0}, nil)
	before := *t.report
	t.own = strict.NewDecoder[treeYAML]().Decode(root, t.report)
	if tooOld(o.Version, t.own.MinVersion) {
		*t.report = before
		t.report.At(t.own.MinVersion.At(), strict.Problemf("min-version", "the tree needs reconciler %s, this is %s",
			t.own.MinVersion.Val, o.Version).Hinted("upgrade this host's reconciler"))
		t.stop, t.tooOld = true, true
		return
	}
	t.around.layered = len(t.own.Layers) > 0
	t.checkOwn()
	t.stop = t.report.Failed()
}

// file reads a file, once.
func (t *tree) file(name, layer string) *sourceFile {
	if f, ok := t.files[name]; ok {
		return f
	}
	content, err := fs.ReadFile(t.fs, name)
	f := t.keep(name, layer, content)
	if err != nil {
		t.report.NoYAML(strict.Pos{File: f.File, Line: 1, Column: 1}, strict.Problemf("unreadable", "%s", err))
	}
	return f
}

func (t *tree) keep(name, layer string, content []byte) *sourceFile {
	f := &sourceFile{File: &strict.File{Name: name, Layer: layer}}
	f.docs = t.reader.Read(f.File, content)
	for _, doc := range f.docs {
		if doc.Get("version") == nil {
			t.report.At(doc, strict.Problemf("missing-key", "version is missing").Hinted("begin with version: 1"))
		}
	}
	t.files[name] = f
	return f
}

// join merges documents, lowest layer first.
func (t *tree) join(docs []*strict.Value, rank map[*strict.File]int, at *spot) *strict.Value {
	m := &merger{report: t.report, rank: rank, tables: make(map[string]uint32)}
	for _, d := range docs {
		m.nameTables(d.Get("tables"))
	}
	if at == nil {
		at = &spot{below: map[string]*spot{"version": {agree: true}}}
	}
	root := m.merge(at, docs)
	t.roots = append(t.roots, root)
	return root
}

// resolve merges the layers of a host and builds what they declare.
func (t *tree) resolve(o Options) *Desired {
	d := &Desired{Hosts: t.hosts()}
	if t.tooOld {
		d.WayOut = t.wayOut(o)
	}
	if t.stop {
		return d
	}
	var docs []*strict.Value
	rank := make(map[*strict.File]int)
	for i, l := range t.layers(o) {
		d.Layers = append(d.Layers, l.path)
		for _, name := range l.files {
			f := t.file(name, l.path)
			rank[f.File] = i
			docs = append(docs, f.docs...)
		}
	}
	if o.Rescue != nil {
		d.Layers = append(d.Layers, "rescue")
		f := t.keep(o.Rescue.Path, "rescue", o.Rescue.Content)
		rank[f.File] = len(d.Layers)
		docs = append(docs, f.docs...)
	}
	if len(docs) == 0 {
		t.empty()
		return d
	}
	root := t.join(docs, rank, places())
	doc := t.decoder.Decode(root, t.report)
	d.Merged = &Merged{root: root, layered: len(d.Layers) > 1}
	if !t.report.Parse() {
		d.Want, d.at = build(doc, t.report, t.around)
	}
	return d
}

// wayOut reads of a tree that this build is too old for what it says of upgrades
// of reconciler itself, and no more. What is wrong with the rest it cannot know.
func (t *tree) wayOut(o Options) *resource.Set {
	before := *t.report
	defer func() { *t.report = before }()
	var docs []*strict.Value
	rank := make(map[*strict.File]int)
	for i, l := range t.layers(o) {
		for _, name := range l.files {
			f := t.file(name, l.path)
			rank[f.File] = i
			for _, doc := range f.docs {
				docs = append(docs, upgradesOnly(doc))
			}
		}
	}
	if len(docs) == 0 {
		return nil
	}
	*t.report = strict.Report{}
	doc := t.decoder.Decode(handovers(t.join(docs, rank, places())), t.report)
	want, _ := build(doc, t.report, t.around)
	if t.report.Failed() || want.Len() == 0 {
		return nil
	}
	return want
}

// empty reports a tree that says nothing, unless it is known why already: an
// empty tree is far more often an accident than a wish.
func (t *tree) empty() {
	if t.report.Failed() {
		return
	}
	t.report.AtPos(strict.Pos{File: &strict.File{Name: "."}, Line: 1, Column: 1},
		strict.Problemf("empty-tree", "there is no YAML in the tree").Hinted("a file with version: 1 alone declares nothing"))
}

// finish sorts warnings from errors.
func (t *tree) finish(d *Desired) (*Desired, error) {
	var errs *multierror.Error
	for _, f := range t.report.Faults(t.roots...) {
		if f.Severity == strict.Warning {
			d.Warnings = append(d.Warnings, f)
			continue
		}
		errs = multierror.Append(errs, f)
	}
	if errs == nil {
		return d, nil
	}
	d.Want = nil
	errs.ErrorFormat = strict.Summary
	return d, errs
}
