// Package ipam is address arithmetic: what of a subnet is given to whom. It reads
// and writes nothing.
//
// Several hosts give addresses of one subnet without asking each other each time:
// each leases spans of it, and gives away what lies in its own. Leases are as large
// as what is left allows, down to a single address, so that little is kept idle and
// the last address of a subnet can be given to any host.
package ipam
