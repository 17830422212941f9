// Package owner tells whose files are, and gives them to others.
package owner
