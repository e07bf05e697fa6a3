// Package domain holds what every part of the domain shares: its errors. The packages below it are pure: no I/O, no
// clock, no logging, no SQL, no context.
package domain

import (
	"errors"
	"fmt"
)

// Code says what kind of refusal an Error is. The set is closed: each API dialect maps it to a status in one table.
type Code string

// The codes.
const (
	Invalid             Code = "invalid"              // a field is wrong; Details name it
	NotFound            Code = "not_found"            // nothing has that id, for this merchant
	Duplicate           Code = "duplicate"            // the reference is taken
	KeyReused           Code = "key_reused"           // the Idempotency-Key came with another request
	InsufficientBalance Code = "insufficient_balance" // available does not cover it
	Forbidden           Code = "forbidden"            // not allowed to this caller
	Stale               Code = "stale"                // the thing is not in a state in which this can be done
)

// Error is a refusal by the rules. It is an answer, not a fault.
type Error struct {
	Code    Code
	Message string
	Details map[string]string // field -> what is wrong with it
}

func (e *Error) Error() string { return e.Message }

// Errorf makes a refusal.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidField is the refusal of one field.
func InvalidField(field, problem string) *Error {
	return &Error{Code: Invalid, Message: field + ": " + problem, Details: map[string]string{field: problem}}
}

// CodeOf returns the code of the refusal in err's chain, or "" when err is a fault.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
