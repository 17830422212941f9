// Package access answers who gets in to a cluster and why somebody doesn't.
//
// It reads the sources of mappings once, as the server reads them: the mappers are
// the server's own, those in the cluster being given what was read of it, so that
// nothing is ever written there. [Sources.List] says what every entry is worth,
// [Sources.Explain] walks one login through the chain that decides in the server.
package access
