// Package driver answers dockerd: the network driver protocol of Docker, on
// one unix socket.
//
// A request goes one way: decode, lock, store what is promised as "pending",
// apply the plan that topology builds, store it as "ready", answer. A removal
// is stored as "deleting" first. So whatever a crash leaves is either complete
// or known to be half done.
//
// Four habits of dockerd shape the handlers:
//
//   - It repeats a request after a lost connection or a time-out, with an empty
//     body. Such a request is refused: doing nothing and saying so beats
//     guessing.
//   - It forgets the network of a container, for ever on new engines, when Join
//     fails. So all that can fail is done in CreateEndpoint, and Join only
//     waits for the port and answers in any case.
//   - It runs DeleteEndpoint while the Join that it gave up on still runs. So
//     an endpoint's removal cancels its Join.
//   - It repeats no removal that failed. So removals do not wait for recovery,
//     and are done later when they cannot be done now.
//
// Every handler answers within 25 seconds, taking back included, before dockerd's own limit of 30,
// after which it would believe in a failure that the handler does not know of.
//
// go-plugins-helpers carries the socket and the types of the requests; the
// routes are our own, since the handlers want the request's context and
// deadline, and answers of later protocol versions.
package driver
