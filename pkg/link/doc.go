// Package link is the vocabulary of ip(8) and ethtool(8): the veth pair of an
// endpoint, and what the host's own addresses and routes say.
package link
