// Package ovn is the vocabulary of OVN's northbound database: one constructor
// for each ovn-nbctl command that the program uses, and the reads that go with
// them.
//
// Names are types, so that a switch port cannot be passed where a switch
// belongs. A constructor says which command it is and what takes it back, and
// decides nothing: which commands belong together is topology's business.
// Every command may run again (--may-exist, set), because recovery runs the
// same ones as creation.
//
// Source: ovn-nbctl(8), ovn-nb(5).
package ovn
