package options

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change returns the options with some of them changed while the network is there, by name; an empty value is as if the
// option was left out. An error says which can be.
func (n Network) Change(changes map[string]string) (Network, error) {
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		i := slices.IndexFunc(networkOptions, func(o option) bool { return name != "" && (o.name == name || o.alias == name) })
		if i < 0 {
			return n, checkNames(map[string]string{name: changes[name]})
		}
		o := networkOptions[i]
		if o.clear == nil {
			return n, fmt.Errorf("option %q cannot be changed while the network is there: those that can are %s; remove the network and create it again", o.name, strings.Join(Changeable(), ", "))
		}
		o.clear(&n)
		value := changes[name]
		if value == "" && o.fallback != "" {
			if err := o.parse(&n, o.fallback); err != nil {
				return n, fmt.Errorf("option %q: %w", o.name, err)
			}
		}
		if value == "" {
			continue
		}
		if err := o.parse(&n, value); err != nil {
			return n, fmt.Errorf("option %q: %w", o.name, err)
		}
		if o.given != nil {
			o.given(&n)
		}
	}
	return n, checkTogether(n)
}

// Changeable are the names of the options that Change takes.
func Changeable() []string {
	var all []string
	for _, o := range networkOptions {
		if o.clear != nil {
			all = append(all, o.name)
		}
	}
	return all
}
