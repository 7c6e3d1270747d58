package desired

import (
	"errors"
	"io/fs"

	"github.com/hashicorp/go-multierror"

	"reconciler/internal/strict"
)

// tree is a tree of YAML, read.
type tree struct {
	fs     fs.FS
	report *strict.Report
	reader *strict.Reader
	names  []string
	files  map[string]*sourceFile
}

func open(fsys fs.FS, o Options) *tree {
	r := new(strict.Report)
	t := &tree{fs: fsys, report: r, reader: strict.NewReader(r), files: make(map[string]*sourceFile)}
	t.names = yamlFiles(fsys, r)
	return t
}

// file reads a file, once.
func (t *tree) file(name string) *sourceFile {
	if f, ok := t.files[name]; ok {
		return f
	}
	f := &sourceFile{File: &strict.File{Name: name}}
	t.files[name] = f
	content, err := fs.ReadFile(t.fs, name)
	if err != nil {
		t.report.NoYAML(strict.Pos{File: f.File, Line: 1, Column: 1}, strict.Problemf("unreadable", "%s", err))
		return f
	}
	f.docs = t.reader.Read(f.File, content)
	return f
}

func (t *tree) resolve(o Options) (*Desired, error) {
	var docs []*strict.Value
	rank := make(map[*strict.File]int)
	for _, name := range t.names {
		f := t.file(name)
		rank[f.File] = 0
		docs = append(docs, f.docs...)
	}
	d := &Desired{Layers: []string{"."}}
	if len(docs) == 0 {
		return d, t.finish(d)
	}
	m := &merger{report: t.report, rank: rank, tables: make(map[string]uint32)}
	for _, doc := range docs {
		m.nameTables(doc.Get("tables"))
	}
	root := m.merge(places(), docs)
	doc := strict.NewDecoder[document]().Decode(root, t.report)
	d.Merged = &Merged{root}
	if !t.report.Parse() {
		d.Want = build(doc, t.report)
	}
	return d, t.finish(d, root)
}

func (m *merger) nameTables(v *strict.Value) {
	if v == nil {
		return
	}
	for _, c := range v.Children {
		if n, ok := numberOf(c.Value); ok {
			m.tables[c.Key] = n
		}
	}
}

// finish sorts warnings from errors.
func (t *tree) finish(d *Desired, roots ...*strict.Value) error {
	var errs *multierror.Error
	for _, f := range t.report.Faults(roots...) {
		if f.Severity == strict.Warning {
			d.Warnings = append(d.Warnings, f)
			continue
		}
		errs = multierror.Append(errs, f)
	}
	if errs == nil {
		return nil
	}
	errs.ErrorFormat = compact
	return errs
}

// maxPrinted bounds the text of an error; the faults are all in it.
const maxPrinted = 10

func compact(errs []error) string {
	if len(errs) > maxPrinted {
		more := len(errs) - maxPrinted
		errs = append(append([]error(nil), errs[:maxPrinted]...), strict.More(more))
	}
	return errors.Join(errs...).Error()
}
