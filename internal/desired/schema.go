package desired

import "reconciler/internal/strict"

// schema tells the tree's own file from the others by its keys.
func schema() []byte {
	return strict.WriteSchema("reconciler", func(g *strict.Generator) strict.Schema {
		var own []any
		for _, key := range treeKeys {
			own = append(own, strict.Schema{"required": []string{key}})
		}
		return strict.Schema{
			"if":   strict.Schema{"type": "object", "anyOf": own},
			"then": strict.NewDecoder[treeYAML]().Define(g),
			"else": strict.NewDecoder[document]().Define(g),
		}
	})
}
