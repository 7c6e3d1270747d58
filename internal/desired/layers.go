package desired

import (
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"reconciler/internal/strict"
)

// treeFile is the tree's own file, at its root.
const treeFile = "reconciler.yaml"

// treeYAML is that file as written.
type treeYAML struct {
	strict.Here
	Version    strict.V[uint32]                       `yaml:"version" min:"1" max:"1" required:"true" doc:"The version of this language: 1."`
	MinVersion strict.V[version]                      `yaml:"min-version" doc:"The oldest reconciler that may read this tree."`
	Layers     []layerYAML                            `yaml:"layers" doc:"Directories that add up to a host's configuration; a later one wins."`
	Fleet      strict.Map[strict.Map[strict.V[word]]] `yaml:"fleet" names:"^[a-zA-Z0-9][a-zA-Z0-9._-]*$" doc:"The hosts and their labels."`
}

// UnknownKey explains sections that belong into another file.
func (*treeYAML) UnknownKey(key string) *strict.Problem {
	if slices.Contains(sections, key) {
		return strict.Problemf("unknown-key", "%s: does not belong into %s", key, treeFile).Hinted("put it into a file of a layer")
	}
	return nil
}

type layerYAML struct {
	strict.Here
	Path     strict.V[string] `yaml:"path" required:"true" short:"true" doc:"A directory; {label} and {hostname} are filled in."`
	Required strict.V[bool]   `yaml:"required" doc:"false: a host without this directory is fine. Default true."`
}

// word is a label's value: part of a path, so no more than a name.
type word string

func (w *word) ReadScalar(v *strict.Value) *strict.Problem {
	if v.Kind != strict.String && v.Kind != strict.Int || !nameExp.MatchString(v.Text) {
		return strict.Problemf("bad-name", "%q cannot be the value of a label", v.Text).
			Hinted("letters, digits, '.', '_' and '-', beginning with a letter or digit")
	}
	*w = word(v.Text)
	return nil
}

func (*word) ScalarSchema() strict.Schema {
	return strict.Schema{"type": []string{"string", "integer"}, "pattern": namePattern}
}

// version is a semantic version; the v in front may be left out.
type version string

func (s *version) ReadScalar(v *strict.Value) *strict.Problem {
	*s = version(canonical(v.Text))
	if !semver.IsValid(string(*s)) {
		return strict.Problemf("bad-version", "%q is not a semantic version", v.Text).Hinted("write v0.1.0")
	}
	return nil
}

func (*version) ScalarSchema() strict.Schema {
	return strict.Schema{"type": "string", "pattern": `^v?[0-9]+(\.[0-9]+){0,2}([-+].*)?$`}
}

func canonical(v string) string {
	if strings.HasPrefix(v, "v") {
		return v
	}
	return "v" + v
}

// tooOld reports whether a build lacks what a tree needs. A build whose
// version is no semantic version is one of development, hence the newest.
func tooOld(build string, needs strict.V[version]) bool {
	build = canonical(build)
	return needs.Ok() && semver.IsValid(build) && semver.Compare(build, string(needs.Val)) < 0
}

// layer is a directory of one host's configuration.
type layer struct {
	path  string
	files []string
}

// placeholder stands for a label in the path of a layer.
var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// layers lists the directories of a host, lowest first. A tree without layers
// is one.
func (t *tree) layers(o Options) []layer {
	if t.own == nil || len(t.own.Layers) == 0 {
		return []layer{{".", t.rest()}}
	}
	labels := t.labels(o)
	if labels == nil {
		return nil
	}
	owned := t.owned()
	var out []layer
	for _, y := range t.own.Layers {
		dir, ok := t.fill(y.Path, labels)
		if !ok {
			continue
		}
		files := owned[dir]
		switch {
		case len(files) == 0 && y.Required.Or(true):
			t.report.At(y.Path.At(), strict.Problemf("missing-layer", "there is no YAML in %s", dir).
				Hinted("add it, or say required: false"))
		case slices.ContainsFunc(out, func(l layer) bool { return l.path == dir }):
			t.report.At(y.Path.At(), strict.Problemf("layer-twice", "%s is a layer already", dir))
		case len(files) > 0:
			out = append(out, layer{dir, files})
		}
	}
	return out
}

// rest lists the files that are not the tree's own.
func (t *tree) rest() []string {
	return slices.DeleteFunc(slices.Clone(t.names), func(n string) bool { return n == treeFile })
}

// labels of a host: those of the agent, which must be those of fleet:, and
// hostname. Nil where they cannot be told.
func (t *tree) labels(o Options) map[string]string {
	if o.Host == "" {
		t.report.At(t.own.At(), strict.Problemf("no-host", "the tree has layers, and no host is given").Hinted("give --host"))
		return nil
	}
	labels := maps.Clone(o.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	if len(t.own.Fleet) > 0 {
		e := t.own.Fleet.Get(o.Host)
		if e == nil {
			t.report.At(t.own.At().Get("fleet"), strict.Problemf("unknown-host", "%s is not in fleet", o.Host).
				Hinted("%s", didYouMean(o.Host, t.hosts())))
			return nil
		}
		told := make(map[string]string, len(e.Val))
		for _, l := range e.Val {
			told[l.Name] = string(l.Val.Val)
		}
		if o.Labels != nil && !maps.Equal(told, o.Labels) {
			t.report.AtKey(e.Key, strict.Problemf("labels-differ", "fleet gives %s the labels %s, its agent has %s",
				o.Host, labelText(told), labelText(o.Labels)))
			return nil
		}
		labels = told
	}
	labels["hostname"] = o.Host
	return labels
}

func didYouMean(word string, known []string) string {
	if near := strict.Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "add it with its labels"
}

func labelText(m map[string]string) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, k+"="+m[k])
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// fill puts a host's labels into the path of a layer.
func (t *tree) fill(p strict.V[string], labels map[string]string) (string, bool) {
	ok := p.Ok() && validLayer(p.Val)
	dir := placeholder.ReplaceAllStringFunc(p.Val, func(s string) string {
		value, has := labels[s[1:len(s)-1]]
		if !has {
			ok = false
			t.report.At(p.At(), strict.Problemf("undefined-label", "this host has no label %s", s[1:len(s)-1]).
				Hinted("give it under labels: in the agent's file"))
		}
		return value
	})
	return path.Clean(dir), ok
}

func validLayer(p string) bool {
	return p != "" && fs.ValidPath(path.Clean(p)) && !strings.Contains(p, "..")
}

// owned groups the files of the tree by the layer they lie in, for every value
// of the labels. A file in the directory of two layers belongs to the inner.
func (t *tree) owned() map[string][]string {
	if t.byLayer != nil {
		return t.byLayer
	}
	t.byLayer = make(map[string][]string)
	var patterns [][]string
	for _, y := range t.own.Layers {
		if y.Path.Ok() && validLayer(y.Path.Val) {
			patterns = append(patterns, elements(placeholder.ReplaceAllString(path.Clean(y.Path.Val), "*")))
		}
	}
	for _, name := range t.rest() {
		if dir, ok := owner(elements(name), patterns); ok {
			t.byLayer[dir] = append(t.byLayer[dir], name)
		}
	}
	return t.byLayer
}

func elements(p string) []string {
	if p == "." {
		return nil
	}
	return strings.Split(p, "/")
}

func owner(name []string, patterns [][]string) (dir string, ok bool) {
	longest := -1
	for _, p := range patterns {
		if len(p) <= longest || len(p) > len(name) {
			continue
		}
		if slices.EqualFunc(p, name[:len(p)], func(glob, s string) bool { hit, _ := path.Match(glob, s); return hit }) {
			longest = len(p)
		}
	}
	switch longest {
	case -1:
		return "", false
	case 0:
		return ".", true
	}
	return strings.Join(name[:longest], "/"), true
}

func (t *tree) hosts() []string {
	if t.own == nil {
		return nil
	}
	var out []string
	for _, e := range t.own.Fleet {
		out = append(out, e.Name)
	}
	slices.Sort(out)
	return out
}

// checkOwn reports what is wrong with the tree's own file, whoever the host.
func (t *tree) checkOwn() {
	for _, y := range t.own.Layers {
		if y.Path.Ok() && !validLayer(y.Path.Val) {
			t.report.At(y.Path.At(), strict.Problemf("bad-path", "%q is no directory below the root of the tree", y.Path.Val).
				Hinted("a/b, without . and .."))
		}
	}
	for _, e := range t.own.Fleet {
		for _, l := range e.Val {
			if l.Name == "hostname" {
				t.report.AtKey(l.Key, strict.Problemf("bad-name", "hostname is the name of the host, not a label").
					Hinted("write {hostname} in a path; it is always known"))
			}
		}
	}
}
