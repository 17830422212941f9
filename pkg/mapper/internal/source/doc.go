// Package source keeps a store in step with one kind of objects on the API server,
// for as long as both live.
//
// It lists and watches with the reflector of client-go, and adds what a service
// needs that may be older than the API server it asks: it says how it is doing,
// finds the server again within two seconds, and may live without the kind.
//
// An informer factory would not do: as of client-go v0.36 it has no way to set the
// backoff of its reflectors (kubernetes/kubernetes#136943), which grows to a minute,
// and it logs every failure anew.
//
// # How a dead connection is noticed
//
// A host that goes away without closing its connections stays silent. Three things
// end the wait: client-go pings an HTTP/2 connection that was silent for 30 s and
// closes it after 15 s without an answer (defaults of k8s.io/apimachinery, which
// HTTP2_READ_IDLE_TIMEOUT_SECONDS and HTTP2_PING_TIMEOUT_SECONDS change); requests
// have to be answered within [requestTimeout]; and a watch ends [grace] after the
// time for which it was asked, 5 to 10 minutes, even if the server does not end it.
package source
