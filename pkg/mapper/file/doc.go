// Package file reads mappings from a file and follows its changes.
//
// The file is either the configuration file of the server (MountedFile) or one that
// holds nothing but mappings (DynamicFile). What changed is found by the content of
// the file. Events of its directory tell when to look: a directory goes on telling
// when Kubernetes swaps the symbolic link of a mounted ConfigMap, when an editor
// puts a new file in the place of the old one, and when the file is not there yet.
package file
