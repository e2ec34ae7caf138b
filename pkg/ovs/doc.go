// Package ovs is the vocabulary of the local Open vSwitch database: one
// constructor for each ovs-vsctl command that the program uses, the read of
// the chassis, and the wait for a port.
//
// Source: ovs-vsctl(8), ovs-vswitchd.conf.db(5), ovn-controller(8).
package ovs
