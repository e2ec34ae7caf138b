// Package ovn is the vocabulary of OVN's northbound database: one constructor
// for each ovn-nbctl command that the program uses, and the reads that go with
// them.
//
// Names are types, so that a switch port cannot be passed where a switch
// belongs. A constructor says which command it is and what takes it back, and
// decides nothing: which commands belong together is topology's business.
// Every command may run again (--may-exist, set), so that a try that was cut off
// can be repeated. A switch is the exception, because the schema lets two
// clients make one name twice: it is made, and deleted, in a transaction that
// first waits for the database to be as it was seen.
//
// Source: ovn-nbctl(8), ovn-nb(5).
package ovn
