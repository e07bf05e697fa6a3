package main

import (
	"os"
	"runtime/debug"
)

// What the Go heap of a process is meant to stay within, in bytes: each partition keeps the payments and batches of its own. Under
// load of all partitions about half of it is in use, so that there is room between two collections.
const (
	memoryOfProcess   = 128 << 20
	memoryOfPartition = 32 << 20
)

// collectAt is the growth of the heap, in per cent, after which it is collected while it is far from the limit: half as often as
// Go does by itself.
const collectAt = 200

// limitMemory bounds the memory of a process that has opened a log of so many partitions. GOGC and GOMEMLIMIT, where they are
// set, are the operator's word and stay as they are. The limit is soft: who needs more gets it, and spends more on collecting.
func limitMemory(partitions int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryOfProcess + int64(partitions)*memoryOfPartition)
	}
}
