package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// SchemaVersion is the newest layout of state files that this version reads, and the one that it writes. It counts
// changes that an older version would misread, not every new field.
const SchemaVersion = 1

// migration brings the data of one record of a collection from one schema to the next.
type migration func(collection string, data json.RawMessage) (json.RawMessage, error)

// migrations has the one from schema n+1 at index n: one fewer than there are schemas. A record is brought up to date in
// memory when it is read, and on disk when it is next put, so that going back to the older version is possible until then.
var migrations = []migration{}

func newest() int { return SchemaVersion + len(migrations) - shipped }

// shipped is the number of migrations, which only a test makes longer.
const shipped = SchemaVersion - 1

// migrate brings the data to the newest schema.
func migrate(e *envelope, collection string) error {
	for ; e.Schema-1 < len(migrations); e.Schema++ {
		data, err := migrations[e.Schema-1](collection, e.Data)
		if err != nil {
			return fmt.Errorf("%w: bringing it from schema %d to %d: %s", ErrInvalid, e.Schema, e.Schema+1, err.Error())
		}
		e.Data = data
	}
	return nil
}

// envelope is what every file holds, beside the checksum.
type envelope struct {
	// ID repeats the path below the data directory without ".json": a file that was copied or renamed by hand is then
	// noticed instead of becoming a second record of the same thing.
	ID      string          `json:"id"`
	Schema  int             `json:"schema"`
	Phase   Phase           `json:"phase,omitempty"`
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
	Data    json.RawMessage `json:"data"`
}

// encode gives the file's bytes, indented for people.
func (e envelope) encode() ([]byte, error) {
	flat, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(flat, &fields); err != nil {
		return nil, err
	}
	sum, err := checksum(fields)
	if err != nil {
		return nil, err
	}
	fields["checksum"] = json.RawMessage(`"` + sum + `"`)
	text, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// decode reads what encode wrote. Each error says in words for an administrator what is wrong, and wraps ErrInvalid.
func decode(id string, text []byte) (envelope, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return envelope{}, fmt.Errorf("%w: not a JSON object: %s", ErrInvalid, err.Error())
	}
	var stored string
	if err := json.Unmarshal(fields["checksum"], &stored); err != nil {
		return envelope{}, fmt.Errorf("%w: it has no checksum", ErrInvalid)
	}
	sum, err := checksum(fields)
	if err != nil {
		return envelope{}, fmt.Errorf("%w: %s", ErrInvalid, err.Error())
	}
	if sum != stored {
		return envelope{}, fmt.Errorf("%w: the checksum is %q but the content gives %q", ErrInvalid, stored, sum)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return envelope{}, fmt.Errorf("%w: %s", ErrInvalid, err.Error())
	}
	switch {
	case e.Schema > newest():
		return envelope{}, fmt.Errorf("%w: written by a newer version: it has schema %d, and this version reads up to %d", ErrInvalid, e.Schema, newest())
	case e.Schema < 1:
		return envelope{}, fmt.Errorf("%w: schema %d does not exist", ErrInvalid, e.Schema)
	case e.ID != id:
		return envelope{}, fmt.Errorf("%w: it holds %q and was renamed or copied", ErrInvalid, e.ID)
	}
	return e, nil
}

// checksum is over all fields but itself. encoding/json sorts the keys of a map and compacts raw values, which makes
// the text canonical; the fields of a newer version take part although this one does not know them.
func checksum(fields map[string]json.RawMessage) (string, error) {
	rest := make(map[string]json.RawMessage, len(fields))
	for k, v := range fields {
		if k != "checksum" {
			rest[k] = v
		}
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
