// Package audit keeps one record of every login decision, in JSON lines, and reads
// them again.
//
// Log writes: a record is in the file before the decision is answered, in one write,
// so that lines are whole whatever happens to the process. Read, Filter, Summary and
// Usage answer who logged in as what, who was refused and why, and which mappings
// nobody uses.
package audit
