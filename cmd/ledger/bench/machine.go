package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/migrations"
)

// Machine is what the figures were measured on.
type Machine struct {
	OS    string `json:"os"`
	CPU   string `json:"cpu"` // "unknown" where the system does not tell
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

func machine() Machine {
	return Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuModel(), Cores: runtime.GOMAXPROCS(0), Go: runtime.Version()}
}

// cpuModel asks Linux; elsewhere the model is not known.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, model, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown"
}

// StoreInfo is the store that was measured, and how durable its commits are.
type StoreInfo struct {
	Kind              string `json:"kind"` // sqlite, postgres
	Version           string `json:"version"`
	Partitions        int    `json:"partitions"`
	Fsync             string `json:"fsync,omitempty"` // PostgreSQL's settings
	SynchronousCommit string `json:"synchronous_commit,omitempty"`
	SharedBuffers     string `json:"shared_buffers,omitempty"`
}

func (s StoreInfo) text() string {
	text := fmt.Sprintf("%s %s, %d partitions", s.Kind, s.Version, s.Partitions)
	if s.Kind == string(migrations.Postgres) {
		return text + fmt.Sprintf(", fsync %s, synchronous_commit %s, shared_buffers %s", s.Fsync, s.SynchronousCommit, s.SharedBuffers)
	}
	return text + ", WAL, synchronous FULL"
}

// warnings says what makes the store faster than it may be in production.
func (s StoreInfo) warnings() []string {
	var out []string
	if s.Kind == string(migrations.Postgres) && s.Fsync != "on" {
		out = append(out, "fsync is off on this server: its commits are not durable, and every figure is better than it should be")
	}
	return out
}

// store describes the scratch store.
func (w *world) store(ctx context.Context) (info StoreInfo, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return StoreInfo{}, err
	}
	defer closing(b, &err)
	log, err := b.Log.Info(ctx)
	if err != nil {
		return StoreInfo{}, err
	}
	info = StoreInfo{Kind: string(w.at.Dialect), Partitions: log.Partitions}
	if w.at.Dialect == migrations.SQLite {
		return info, sqliteVersion(ctx, &info)
	}
	conn, err := pgx.Connect(ctx, w.at.DSN)
	if err != nil {
		return StoreInfo{}, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for setting, to := range map[string]*string{
		"server_version": &info.Version, "fsync": &info.Fsync, "synchronous_commit": &info.SynchronousCommit, "shared_buffers": &info.SharedBuffers,
	} {
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(to); err != nil {
			return StoreInfo{}, err
		}
	}
	return info, nil
}

func sqliteVersion(ctx context.Context, info *StoreInfo) (err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&info.Version)
}

// memory is what this process holds, in MiB; resident is 0 where the system does not tell.
type memory struct{ resident, heap float64 }

// atRest gives what is free back to the system first.
func atRest() memory {
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return memory{resident: resident(), heap: float64(stats.HeapAlloc) / (1 << 20)}
}

// resident asks Linux for the resident memory of this process, in MiB.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // VmRSS:  12345 kB
		if len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}
