package projections

import (
	"log/slog"
	"sync"
)

// everything is the partition under which health keeps what concerns all of them.
const everything = -1

// health logs once that the views cannot be kept up to date, and once that they can again, however many partitions say so.
type health struct {
	logger *slog.Logger

	mu      sync.Mutex
	failing map[int]bool // by partition
}

func (h *health) failed(partition int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failing) == 0 {
		h.logger.Error("the views cannot be kept up to date", "error", err)
	}
	h.failing[partition] = true
}

func (h *health) recovered(partition int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.failing[partition] {
		return
	}
	delete(h.failing, partition)
	if len(h.failing) == 0 {
		h.logger.Info("the views are kept up to date again")
	}
}
