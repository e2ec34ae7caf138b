// Package ovsdb speaks the language that all OVSDB programs share: atoms as
// ovs-vsctl and ovn-nbctl read them, and transactions as ovsdb-client sends
// them (RFC 7047).
//
// Reads are transactions of "select" operations rather than "find" commands of
// the two ctl programs: the server answers exactly the rows asked for, as
// JSON, while a ctl program first copies the database. For the same reason the
// one thing that has to be decided by the database itself, whether a shared
// row is still as it was seen, is a "wait" operation in the transaction that
// changes it.
package ovsdb
