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
// The one thing that is not a reversed plan is the end of an object that
// networks share, the logical switch: it goes with its last user, in a
// transaction that fails when somebody has begun to use it meanwhile, as its
// making fails when somebody has made it meanwhile. Then it is looked at again.
//
// # Who owns what
//
// Rows that this program makes carry external_ids owner, instance (the data
// directory that the request is stored in) and tenant_id; ports also host
// (system-id), network_id and endpoint_id. A switch has a key for each network
// that uses it. On an interface container_id is the endpoint's id, a name that
// exporters of flow data read.
package topology
