// Package topology turns what Docker asked for into command plans. It is the
// only place that decides which OVN and OVS objects there are, and the only
// one that names them.
//
// Every builder is a pure function of the desired state and of one read of
// what is there ("seen"). What is there already is adopted: it is not changed
// and its plan has no inverse, so that neither a failed create nor a delete
// removes what somebody else made. The plans of OVN may run again on their own
// result, so a port that could not be made is made later by the same call; the
// veth pair of an endpoint is made once. Removal is the plan reversed.
//
// What is not a reversed plan is the making and the end of what networks share:
// logical switches, routers, their ports and routes. Each is one transaction,
// put together from what was seen, that fails when somebody has changed what it
// builds on; then it is looked at again. A shared row goes with its last user.
//
// # Routing
//
// A router has a port on the switch of each of its networks, which owns the
// networks' gateway addresses. A transit network is a switch with a gateway
// router. A router that is attached to it has a port there, and a default route
// to the gateway router; the gateway router has a route back to each subnet of
// the attached router's networks. So all attached routers reach one another,
// and a router that comes costs the others nothing.
//
// Docker tells a driver no names, and a transit network may be made last: which
// one a router is attached to is settled (Settle) whenever a name or a network
// has come, and kept in the records of the router's networks, with all that is
// needed to make the transit network's objects again: its own Docker network may
// be gone while routers are attached.
//
// # Who owns what
//
// Rows that this program makes carry external_ids owner, instance (the data
// directory that the request is stored in) and tenant_id; ports also host
// (system-id), network_id and endpoint_id. A shared row has a key for each network
// that uses it, "network-<id>"; the switch of a transit network also one for each
// router, "router-<name>", and Docker's name of each transit network,
// "transit-<id>"; other hosts learn of them there. On an interface container_id is the endpoint's id, a name that
// exporters of flow data read.
package topology
