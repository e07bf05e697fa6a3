package main

import (
	"strings"
	"testing"
)

// TestDemoLines: the customer pays at the bank, wherever that runs.
func TestDemoLines(t *testing.T) {
	for bank, want := range map[string]string{
		"":                       " http://127.0.0.1:8080/sandbox/upi/pay ",
		"http://127.0.0.1:8081/": " http://127.0.0.1:8081/sandbox/upi/pay ",
	} {
		got := demoLines("http://127.0.0.1:8080", bank, "klyro_key")
		if !strings.Contains(got, want) || !strings.Contains(got, " http://127.0.0.1:8080/api/v1/payin/create ") || strings.Contains(got, "%!") {
			t.Errorf("with the bank at %q: %s", bank, got)
		}
	}
}
