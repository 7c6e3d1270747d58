// Command bench prints how the reconciler compares with a raw client that does
// the same work in as few system calls as possible, with raw dumps and with
// `ip -batch`. It runs as root, in network namespaces that it makes and throws
// away.
//
// It owns the yardstick: batch.go, requests.go and client.go speak rtnetlink
// by hand and share no code with the driver. Only ours.go touches the
// reconciler.
package main

func main() {}
