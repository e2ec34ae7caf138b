// Command bench measures the plugin, and prints what it measured beside what it should be.
//
// A figure of a shared machine means little, so what counts is a ratio of two things that were measured in the same run,
// in turns where that is possible: an attachment beside the same commands by hand, a container beside one on Docker's
// own bridge, many callers beside one. It makes a test host of its own (package host), with a Docker Engine, OVN and Open vSwitch that nothing
// else uses, and runs itself there, a part at a time. With --here it measures the machine it is on, for instance one
// with another plugin, at --socket and by the name --driver.
//
// The driver's calls are made as dockerd makes them, one after the other for an endpoint. What they are measured
// against, "by hand", is one ovn-nbctl, one `ip -batch`, one ovs-vsctl and the wait for ovn-controller, each begun when
// the one before has ended.
package main
