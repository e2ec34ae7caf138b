// Package membership is a host's place among the hosts of one OVN: the databases that it
// was invited to, and the certificate that it shows them.
//
// What another host's administrator hands over is one file, an invitation. It becomes one
// record, so that a crash leaves the old membership or the new one; the files that OVN's
// programs take are written from it at every start. A host has one membership, as it has
// one chassis.
package membership
