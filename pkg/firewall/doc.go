// Package firewall is the vocabulary of the host's packet filter: iptables-save's
// text read into tables, and the restore that makes some chains what they should
// be.
//
// Chains of this program hold nothing but its own rules, and are written whole:
// what they hold is compared with what they should hold, and a table that differs
// is one iptables-restore --noflush, which the kernel takes as one transaction.
// From the built-in chains, and from Docker's DOCKER-USER, one rule leads to each
// of them; what else is there is never touched.
//
// Rules are written as iptables-save prints them, so that the comparison is one of
// texts (iptables-save(8), iptables-extensions(8)).
package firewall
