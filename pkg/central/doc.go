// Package central provides what OVN a host lacks: the central databases, in a
// container on a Docker network of their own, and ovn-controller. It is the
// only place that calls the Docker API.
//
// # Where central is
//
// The "transit-overlay" network is a Docker bridge network; OVN central always
// has its fifth address. A network that is made here is internal, and its
// containers cannot reach each other: Docker then drops what is forwarded to
// it, from containers and from neighbours of the host that set a route, and
// puts its rules back when a firewall is reloaded. The host itself reaches
// central, and nothing else has to: publishing central to other hosts is a
// decision of its own.
//
// A network that the user made may be open, and Docker may run without
// iptables. So OVN central's packets live for one hop: they reach the host, and
// an answer to anybody behind it is never delivered.
//
// # What is undone
//
// A call that fails removes what it made: network, volume, container. It ends
// five seconds before its caller's time does, to have time for that. A container
// that was there and stopped stays started, because the next try may find it
// ready. After success nothing is removed: central and ovn-controller serve all
// networks of the host, and outlive the plugin, so that an upgrade of the plugin
// never touches running traffic.
//
// # Rules of the Docker API
//
// These calls come from inside a request of dockerd, CreateNetwork. The API is
// served meanwhile, unless it concerns the network that is being created, and
// never while containers are started; so no other request may use this
// package. A dockerd that hangs costs the caller's time and no more: every call
// has a deadline, and all are made by whoever has the turn.
package central
