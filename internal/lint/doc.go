// Package lint finds what is wrong or doubtful in files that say who gets in:
// aws-auth, the configuration and mapping files of the server, and AccessEntry
// manifests.
//
// What the server would do is not decided here but asked of the server's own parsers
// (pkg/mapper, pkg/mapper/file, pkg/config, pkg/apis). So an entry that the server
// leaves out has an error here, and what has neither errors nor warnings maps
// everybody as it says.
package lint
