// Package objects maps the principals that cluster-scoped objects name, one of each,
// while the objects change one by one.
//
// A [Mapper] holds a [Store], which a reflector fills. The store keeps no objects,
// only what their specs compile to; a [Kind] says how.
package objects
