// Package reconcile keeps what the records speak of in place, and finishes
// what was begun.
//
// Three things are compared: the records, what is really there (Open vSwitch,
// the northbound databases, the host's links), and what Docker has. They differ
// in who is right:
//
//   - The records are right about what is there. Pass makes what is missing, by
//     the builders that made it at first, told what they have seen; it never
//     changes or removes what somebody else made, or has changed.
//   - Docker is right about the records. Sweep rebuilds those that were lost,
//     and removes those that Docker has not any more, with whatever of this
//     instance, on this host, has no record at all.
//   - A record that is pending or deleting is nobody's word: it is removed. One
//     that is deferred is completed as soon as its database answers.
//
// Recovery at start is a pass that asks nobody but the databases, each for a
// second at most: while dockerd starts, it serves its API only after the
// containers that wait for this plugin, and OVN central may be one of them. What needs Docker is
// a second phase. What Docker does not have, it must not have in two looks, and
// the record must be older than the look before: dockerd stores what a driver
// has made a moment later.
//
// Later passes are called for by watches, which tell of rows that somebody
// deletes, by a database that comes back, or by an administrator; one in five
// minutes covers what no watch tells of. An idle plugin asks nothing.
package reconcile
