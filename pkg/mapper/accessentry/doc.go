// Package accessentry maps principals as AccessEntry objects say, and reports in
// their status whether they are in force.
//
// Only the spec of an entry decides. It is checked here as well as by the schema,
// which may have been another one when the entry was stored. What the status says is
// read for one purpose: not to write it where it is right.
package accessentry
