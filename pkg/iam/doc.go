// Package iam holds the values of AWS IAM that a login is about: partitions,
// principals and the identity that STS vouches for. Everything here is pure: no
// I/O, no clock, no state.
package iam
