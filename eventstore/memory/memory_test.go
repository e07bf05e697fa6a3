package memory_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/storetest"
)

func backend() storetest.Backend {
	stores := map[string]*memory.Store{}
	return storetest.Backend{
		New: func(_ testing.TB, partitions int) string {
			location := uuid.NewString()
			stores[location] = memory.New(partitions)
			return location
		},
		Open: func(_ context.Context, location string) (eventstore.Store, error) {
			store, ok := stores[location]
			if !ok {
				return nil, fmt.Errorf("no store %s", location)
			}
			return store, nil
		},
	}
}

func TestStore(t *testing.T) { storetest.Run(t, backend()) }

func BenchmarkAppend(b *testing.B) { storetest.Benchmark(b, backend()) }
