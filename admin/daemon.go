// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
)

// Daemon is what the server needs of a running daemon. Implementations are safe
// for concurrent use. An error that is an [*Error] is passed on as it is; any
// other becomes CodeInternal with its text.
type Daemon interface {
	Viewer
	Buyer
	Decider
	Switcher
	Pairings
	Bookkeeper
	Marketplace
}

// Viewer shows the daemon's state and changes nothing.
type Viewer interface {
	// Status describes the daemon now, from memory and the ledger: it waits
	// for no network.
	Status(ctx context.Context) (*Status, error)
	// Purchases lists purchases, newest first.
	Purchases(ctx context.Context, query PurchaseQuery) ([]Purchase, error)
	// Purchase returns one purchase with its history; an unknown id is CodeNotFound.
	Purchase(ctx context.Context, id string) (*Purchase, error)
	// Result returns the accepted result of a purchase as it was received;
	// one that has none (yet) is CodeNotFound.
	Result(ctx context.Context, id string) (json.RawMessage, error)
	// Policy describes the rules in force, local and remote.
	Policy(ctx context.Context) (*PolicyView, error)
	// LedgerVerify recomputes the hash chain and compares the settled rows with
	// the chains. It may take minutes.
	LedgerVerify(ctx context.Context) (*LedgerReport, error)
}

// Bookkeeper takes a person's word about the ledger. by names the person.
type Bookkeeper interface {
	// LedgerAccept records transfers that a verification found in no purchase, by
	// their transactions, and verifies again; one that was not found is CodeNotFound.
	LedgerAccept(ctx context.Context, transactions []string, by string) (*LedgerReport, error)
}

// Buyer asks for things; the guard decides.
type Buyer interface {
	// Explain searches for a need, ranks and judges every quote, and spends nothing.
	Explain(ctx context.Context, need string) (*Explanation, error)
	// Buy starts one purchase of a need and returns it as soon as it is stored;
	// an unknown need is CodeNotFound.
	Buy(ctx context.Context, request BuyRequest) (*Purchase, error)
	// Wait returns the purchase once [Purchase.Settled], [Purchase.Final],
	// [Purchase.HandedOff] or [Purchase.Waiting] is true, or as it is when ctx ends.
	Wait(ctx context.Context, id string) (*Purchase, error)
}

// Decider takes a person's decisions. by names the person, for the record.
type Decider interface {
	// Approve lets a purchase that waits for approval go on.
	Approve(ctx context.Context, id, by string) (*Purchase, error)
	// Deny ends a purchase that waits for approval.
	Deny(ctx context.Context, id, by string) (*Purchase, error)
	// Resolve ends what was handed off or needs the operator.
	Resolve(ctx context.Context, id string, resolution Resolution, by string) (*Purchase, error)
}

// Switcher stops and starts spending and sets the log level.
type Switcher interface {
	// Pause stops spending durably; by names who asked.
	Pause(ctx context.Context, by string) error
	// Resume lets spending go on; by names who asked.
	Resume(ctx context.Context, by string) error
	// LogLevel returns debug, info, warn or error.
	LogLevel(ctx context.Context) (string, error)
	// SetLogLevel changes the level until the next start.
	SetLogLevel(ctx context.Context, level string) error
}

// Pairings shows and changes the pairing of the agent with its machine.
type Pairings interface {
	// Pairing describes the pairing from memory.
	Pairing(ctx context.Context) (*Pairing, error)
	// RotatePairing asks for a new session now.
	RotatePairing(ctx context.Context) (*Pairing, error)
	// CreatePairing pairs anew, also after a revocation.
	CreatePairing(ctx context.Context) (*Pairing, error)
	// RevokePairing revokes the pairing; nothing creates it again but CreatePairing.
	RevokePairing(ctx context.Context) (*Pairing, error)
}

// Marketplace reads the Market with the daemon's credentials.
type Marketplace interface {
	// Market returns the Market's records as JSON, secrets removed: an array
	// for what is listed, an object for what has an id.
	Market(ctx context.Context, query MarketQuery) (json.RawMessage, error)
}
