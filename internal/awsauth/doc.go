// Package awsauth edits the mappings in the ConfigMap aws-auth of kube-system as a
// careful person would: only the lines of the entry concerned change, and what would
// lock people out is refused unless it is asked for.
//
// A section of the ConfigMap is YAML or JSON in a string. Edits are made in its text,
// at the places where the parser found the entry, so that comments, order,
// indentation, quoting and line ends elsewhere stay byte for byte. Each result is
// parsed with the server's own parser, and refused if it says anything but the
// entries of before and the change. A text that can't be edited so is refused too,
// with the position; it is never written anew.
package awsauth
