// Package lifecycle keeps the records of networks and endpoints in step with
// what is there: the order of storing and doing that makes every crash
// recoverable.
//
//	pending   stored before the first command: what is there may be a part
//	ready     all of it is there; Docker may be told
//	deleting  stored before the first removal: what is there may be a part
//
// The driver moves records on Docker's behalf, and reconcile moves those on
// that an earlier process, or an outage of OVN, left behind. Both take the
// same locks, one an endpoint and one a logical switch.
//
// What cannot be taken back, because OVN or Open vSwitch is away, keeps its
// record, as deleting: dockerd repeats no removal that failed, so nobody else
// would remember. A caller that did not wait for the end of a creation is a
// failure too: dockerd then gives the address to somebody else.
//
// An endpoint whose northbound database does not answer is accepted all the
// same: its address is known, its MAC address follows from it, and everything
// on the host can be made. Its record says that the logical switch port is
// deferred. The alternative, an error, would leave the container down for
// good: no version of dockerd tries a failed start again, not even under a
// restart policy.
package lifecycle
