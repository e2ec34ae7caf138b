// Package pki makes and checks the certificates by which hosts and OVN's databases know
// each other.
//
// It is small on purpose: one authority an OVN central, a certificate for its databases
// and one for every host. Open vSwitch's programs check who signed a certificate and what
// it is for, and no names (ovs-vswitchd(8), "SSL/TLS"), so what keeps a host from posing
// as the databases is the purpose alone: a host's certificate is for clients, that of the
// databases for servers (RFC 5280, 4.2.1.12). Certificates are valid as long as the
// authority is: one that ends by itself would cut off hosts that nobody looks after, and
// one that is lost is made worthless by another authority.
package pki
