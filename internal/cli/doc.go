// Package cli holds what the programs of this project have in common: their log, their
// version, and the way to the API server.
package cli
