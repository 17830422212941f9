// Package owner tells whose files are.
package owner
