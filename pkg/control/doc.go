// Package control is how the command on the host asks the running plugin: a
// unix socket that only root can reach, with a call that reads and one that
// has the plugin compare and mend. It is not dockerd's socket, so that a
// question can be asked while dockerd is away, and never holds up a container.
package control
