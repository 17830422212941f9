// Package certs owns the files by which kube-apiserver and the server trust each other: the serving certificate, the
// CA that issued it, the webhook kubeconfig that carries that CA, and the CA of the API server's client certificate.
//
// Three kinds of serving certificate exist, and only the first is ever written:
//
//   - Our own: a leaf of 90 days (cert.pem, key.pem) under a local CA of 100 years (ca.pem, ca-key.pem) in the state
//     directory. Every API server's kubeconfig embeds the CA, so the leaf is renewed freely and the CA never replaced.
//   - One found in the state directory that we didn't issue, such as the self-signed certificate of
//     aws-iam-authenticator, which API servers' kubeconfigs embed. It is served untouched.
//   - One that the operator names (Options.CertFile). It is served untouched.
//
// All of them are read again when the files change, without a restart, and a broken file never displaces a certificate
// that works.
package certs
