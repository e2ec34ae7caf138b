// Package store keeps what was promised to Docker on disk: typed collections, one JSON file per record.
//
//	<dir>/lock                      held by the one process that uses the directory
//	<dir>/instance.json             the identity of this plugin instance, made with the directory
//	<dir>/networks/<id>.json        a collection
//	<dir>/endpoints/<id>.json       a collection
//	<dir>/ipam/<network-id>-pool.json, <dir>/ovn/*.json   views: written for people and tools, never read back
//	<dir>/recovery.json             a view: what the last recovery found and did
//	<dir>/*/<id>.json.backup        a file that could not be used, set aside
//	<dir>/backups/<number>-<time>.tar   the records as they were at the last starts that found them changed
//
// Collections are read once, when they are opened, and served from memory; every change goes to disk first. A change that
// was acknowledged survives the end of the process and of the machine: renameio writes a temporary file, calls fsync and
// renames it, and this package calls fsync on the directory, which renameio leaves out and without which a power cut may
// bring the old file back. A change that was not acknowledged is either there as a whole or not at all.
//
// Every file carries a SHA-256 checksum over its other fields in canonical JSON. White space and the order of the top-level
// fields do not count, so `jq . file` output is still valid; any change of content is not. It finds damage, not attacks:
// whoever may write the files may compute it.
//
// Files rather than a database: an administrator can read, compare and copy them with the tools at hand, one bad sector costs
// one record, and records are few and small.
//
// # Recovery modes
//
// An invalid file is one that is no JSON, has a wrong checksum, names another record, misses a field, or was written by
// a newer version.
//
//   - strict: opening a collection fails and the error lists all invalid files. Nothing on disk is changed.
//   - lenient: invalid files are left out and listed in the report. With Options.Backup they are renamed to *.backup;
//     without, they stay, and are reported again at the next start.
//   - skip: all files are renamed to *.backup, whatever Options.Backup says, and the store starts empty. Skipping must not
//     destroy what may be needed later, and a file left in place would come back to life at the next lenient start.
//     Only instance.json is kept: it is identity, not state, and without it rows in OVN would have no owner.
//
// A file that cannot be read (an I/O error, missing permission) is not invalid and never renamed: it may be readable again
// tomorrow. Lenient mode reports it and goes on.
package store
