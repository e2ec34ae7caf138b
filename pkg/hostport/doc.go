// Package hostport keeps ports of the host for containers.
//
// A published port is a rule of the packet filter, which says nothing to a program
// that binds the same port: it would start, and never be reached. So each port is
// held by a socket of this process, as Docker's own proxy does, and a port that is
// taken is found by asking the kernel for it.
package hostport
