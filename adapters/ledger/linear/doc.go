// Package linear judges histories of concurrent clients on one wallet: is there an order of what they did, each operation at one
// instant between its call and its answer, in which a wallet that does one thing at a time would have given these answers? It is
// for tests; the search is porcupine's.
//
//	h := linear.New(true)
//	h.Do(client, linear.Input{Op: linear.Pay, Ref: ref, ...}, func() linear.Output { ... })
//	err := h.Check()
//
// The wallet of the model is written anew, in minor units, and shares no code with the domain.
//
//   - What was answered took effect once, between call and answer.
//   - An operation whose outcome is not known (Unknown) may take effect at any time after its call, for ever, or never.
//   - An operation that was refused as not carried out (Absent) is left out: should it have taken effect, the balances that are read
//     later fit no order.
package linear
