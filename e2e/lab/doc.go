// Package lab is a host with the words that suites use: networks, containers, rows, and what is left behind.
//
// Its methods fail the running spec themselves, so that a spec reads as the list of a user's commands. Those that return
// an error are for specs in which the command is expected to fail.
package lab
