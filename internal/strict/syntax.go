package strict

import (
	"errors"

	"gopkg.in/yaml.v3"
)

// explain turns an error of the parser into a position and a Problem.
func explain(f *File, content []byte, err error) (Pos, *Problem) {
	var te *yaml.TypeError
	_ = errors.As(err, &te)
	return Pos{f, 1, 1}, Problemf("syntax", "%s", err.Error())
}
