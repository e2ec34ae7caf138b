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
// Programs run without a shell, with a deadline, in the C locale. Only the
// programs listed in this package run at all.
package executor
