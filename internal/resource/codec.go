package resource

import (
	"encoding/json"
	"fmt"
)

// decoders is the one list of kinds that can be read back from JSON.
var decoders = map[Kind]func([]byte) (Resource, error){
	KindLink:        decode[Link],
	KindAddress:     decode[Address],
	KindRoute:       decode[Route],
	KindRule:        decode[Rule],
	KindNeighbour:   decode[Neighbour],
	KindPort:        decode[Port],
	KindSysctl:      decode[Sysctl],
	KindUnsupported: decode[Unsupported],
	KindProgram:     decode[Program],
	KindMap:         decode[Map],
	KindChain:       decode[Chain],
	KindBalancer:    decode[Balancer],
	KindBackend:     decode[Backend],
	KindVIP:         decode[VIP],
	KindDrain:       decode[Drain],
	KindDaemon:      decode[Daemon],
	KindRelease:     decode[Release],
	KindJournal:     decode[Journal],
	KindCurrent:     decode[Current],
	KindSelf:        decode[Self],
}

func decode[T Resource](b []byte) (Resource, error) {
	var v T
	err := json.Unmarshal(b, &v)
	return v, err
}

type objectJSON struct {
	Kind   Kind            `json:"kind"`
	Owner  Owner           `json:"owner"`
	Origin string          `json:"origin,omitempty"`
	Value  json.RawMessage `json:"value"`
}

// MarshalJSON writes an object with its kind, so that it can be read back.
func (o Object) MarshalJSON() ([]byte, error) {
	if o.Resource == nil {
		return []byte("null"), nil
	}
	value, err := json.Marshal(o.Resource)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.Key(), err)
	}
	return json.Marshal(objectJSON{o.Key().Kind, o.Owner, o.Origin, value})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Object) UnmarshalJSON(b []byte) error {
	*o = Object{}
	if string(b) == "null" {
		return nil
	}
	var j objectJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	decode, ok := decoders[j.Kind]
	if !ok {
		return fmt.Errorf("read object: kind %q is not known to this version", j.Kind)
	}
	r, err := decode(j.Value)
	if err != nil {
		return fmt.Errorf("read %s: %w", j.Kind, err)
	}
	*o = Object{Resource: r, Owner: j.Owner, Origin: j.Origin}
	return nil
}

// MarshalJSON writes the objects, sorted.
func (s *Set) MarshalJSON() ([]byte, error) {
	all := s.All()
	if all == nil {
		all = []Object{}
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Set) UnmarshalJSON(b []byte) error {
	var all []Object
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*s = *NewSet(len(all))
	for _, o := range all {
		if o.Resource == nil {
			return fmt.Errorf("read set: an object is null")
		}
		if err := s.Add(o); err != nil {
			return err
		}
	}
	return nil
}
