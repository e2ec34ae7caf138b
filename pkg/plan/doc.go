// Package plan holds command plans: what to run, in which order, and what takes
// each command back, as plain data.
//
// A plan is the only thing that the rest of the program hands to the executor.
// Being data it can be printed, compared with a golden file, applied, applied
// again, and turned inside out: removing what a plan made, cleaning up after a
// failure halfway, and undoing a half-made record of a crashed process are all
// [Plan.Reverse]. No removal is written a second time.
//
// One step is one invocation of one program, and for the OVSDB programs also
// one transaction: "ovn-nbctl A -- B" commits both or neither. That makes a
// step the unit of failure, and the reason why changes to one database belong
// in one step.
//
// The package knows no program by name and imports the standard library only.
package plan
