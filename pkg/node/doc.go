// Package node finds out of EC2 what the node is called that a login is for, and has EC2
// and IAM prove that it is one.
//
// It is the one part of a login that calls anybody but STS, so it calls rarely: those who
// want the same answer share it, many instances fit into one call, answers are remembered,
// and calls keep to a rate. Who is known doesn't notice when EC2 is in trouble.
package node
