// Package reconcile finishes what was begun: the requests that a crash of the
// plugin cut off, and those that an outage of OVN left half done.
//
// It has no plans of its own. A record that is pending or deleting is removed,
// an endpoint whose port is deferred is completed, by the same calls of
// package lifecycle that the driver makes; what fails is tried again, with
// pauses up to half a minute. Nothing here calls the Docker API:
// while dockerd starts it serves the API only after the containers that this
// package has to get out of the way of.
package reconcile
