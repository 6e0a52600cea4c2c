package lookup

import "errors"

// Setting returns the sealed value of a setting of the cluster as this node
// knows it; nil: there is none.
func (d *Door) Setting(name string) ([]byte, error) {
	r := d.cfg.Directory.Read()
	row, _, err := r.Setting(name)
	return row.Value, errors.Join(err, r.Close())
}
