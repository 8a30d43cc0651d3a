// SPDX-License-Identifier: Apache-2.0

package wallet

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
)

// Domain names a token in its EIP-712 domain.
type Domain struct{ Name, Version string }

// Authorization is an EIP-3009 TransferWithAuthorization. Times are Unix seconds.
type Authorization struct {
	// ChainID is the EIP-155 chain id.
	ChainID uint64
	Domain  Domain
	// Token is the verifying contract.
	Token       common.Address
	From, To    common.Address
	Value       money.Amount
	ValidAfter  uint64
	ValidBefore uint64
	Nonce       [32]byte
}

var (
	domainType = crypto.Keccak256Hash([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"))
	authType   = crypto.Keccak256Hash([]byte("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
)

// DomainSeparator returns the EIP-712 domain separator of a token.
func DomainSeparator(d Domain, chainID uint64, token common.Address) common.Hash {
	var b [5 * 32]byte
	copy(b[0:], domainType[:])
	copy(b[32:], crypto.Keccak256([]byte(d.Name)))
	copy(b[64:], crypto.Keccak256([]byte(d.Version)))
	binary.BigEndian.PutUint64(b[120:], chainID)
	copy(b[140:], token[:])
	return crypto.Keccak256Hash(b[:])
}

// digest is the EIP-712 digest. The struct hash is written out by hand: the
// generic one costs more than the signature.
func (a *Authorization) digest() common.Hash {
	var b [7 * 32]byte
	value := a.Value.Uint256()
	word := value.Bytes32()
	copy(b[0:], authType[:])
	copy(b[44:], a.From[:])
	copy(b[76:], a.To[:])
	copy(b[96:], word[:])
	binary.BigEndian.PutUint64(b[152:], a.ValidAfter)
	binary.BigEndian.PutUint64(b[184:], a.ValidBefore)
	copy(b[192:], a.Nonce[:])
	var m [2 + 32 + 32]byte
	domain := DomainSeparator(a.Domain, a.ChainID, a.Token)
	m[0], m[1] = 0x19, 0x01
	copy(m[2:], domain[:])
	copy(m[34:], crypto.Keccak256(b[:]))
	return crypto.Keccak256Hash(m[:])
}

// SignAuthorization signs an EIP-3009 authorisation from the wallet's own
// address that equals its grant in kind, chain, token, payee and amount and ends
// at or before the grant's deadline. The signature is r, s, v with v 27 or 28.
// It fails with [ErrNoGrant] or a [*GrantError].
func (w *Wallet) SignAuthorization(g policy.Grant, a Authorization) ([65]byte, error) {
	err := compare(g, moves{kinds: []policy.Kind{policy.KindAuthorization}, chainID: a.ChainID, token: a.Token, receiver: a.To, amount: a.Value})
	if err != nil {
		return [65]byte{}, err
	}
	if a.From != w.address {
		return [65]byte{}, &GrantError{"signer", w.address.Hex(), a.From.Hex()}
	}
	if a.ValidAfter >= a.ValidBefore || a.ValidBefore > math.MaxInt64 {
		return [65]byte{}, &GrantError{"validAfter", "a time before validBefore", fmt.Sprint(a.ValidAfter)}
	}
	if end := g.Deadline(); a.ValidBefore > unix(end) {
		return [65]byte{}, &GrantError{"validBefore", end.UTC().Format(time.RFC3339), time.Unix(int64(a.ValidBefore), 0).UTC().Format(time.RFC3339)} //nolint:gosec // bounded above by MaxInt64
	}
	digest := a.digest()
	sig, err := crypto.Sign(digest[:], w.key)
	if err != nil {
		return [65]byte{}, fmt.Errorf("sign authorization: %w", err)
	}
	sig[crypto.RecoveryIDOffset] += 27
	return [65]byte(sig), nil
}

// unix returns the Unix seconds of t, 0 for the zero time and before 1970: a
// grant without a deadline authorises nothing.
func unix(t time.Time) uint64 {
	if s := t.Unix(); s > 0 {
		return uint64(s)
	}
	return 0
}
