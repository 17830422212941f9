// Package mapper decides which Kubernetes user an IAM principal is.
//
// A [Mapper] is one source of mappings: a file, the aws-auth ConfigMap, and so on.
// Each keeps an immutable [Index] of compiled [Mapping] values and replaces it as
// its source changes. A [Chain] asks the mappers in order and renders the name and
// groups of the first mapping it gets.
package mapper
