//go:build !linux

package bed

import "syscall"

// dieWithParent has no equivalent here: after a crash of the tests, etcd and kube-apiserver stay behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
