// Package executor runs command plans. It is the only place that starts
// processes, and the only one that understands what the programs print.
//
// A plan is all or nothing. When a step fails, the steps before it are taken
// back, and the failed one too unless it is known to have done nothing: a
// transaction that the database refused did nothing, a batch of ip(8) or a
// program that was stopped may have done a part. Taking back has a deadline of
// its own, because the usual reason for a failure is that the first one
// passed.
//
// What many containers have at once goes together: the chains of endpoints that
// wait for the same database are committed as one. Two of them take a short cut
// past what makes ovn-nbctl and ovs-vsctl slow, which is that they read a database
// before they change it: a daemon that has read it already, and a transaction that
// needs to know nothing. A short cut may refuse, but never decides: what it refuses
// runs plainly.
//
// Programs run without a shell, with a deadline, in the C locale. Only the
// programs listed in this package run at all.
package executor
