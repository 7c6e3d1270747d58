// Package artifact brings BPF objects and archives of them to the host, and
// keeps them there: by https, http or from a file, bare, as tar.gz or as zip.
//
// It owns the cache, a directory in which everything stands under the SHA-256
// of what was fetched: blobs/<sum> is that itself, trees/<sum>/files what was
// in it. Names appear there by rename only, once all below them is on the
// disk; work in progress is called tmp-*, and the next Open collects what a
// kill leaves of it. Several processes may share a cache.
//
// What is fetched comes from strangers until its digest says otherwise, and
// what is unpacked is suspected even then. The package never runs or loads
// what it fetched, knows no YAML and no BPF, and imports nothing of ours.
package artifact
