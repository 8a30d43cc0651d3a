// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"math"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

var (
	domainTypeHash   = crypto.Keccak256Hash([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"))
	transferTypeHash = crypto.Keccak256Hash([]byte("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
	receiveTypeHash  = crypto.Keccak256Hash([]byte("ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
	cancelTypeHash   = crypto.Keccak256Hash([]byte("CancelAuthorization(address authorizer,bytes32 nonce)"))
	// maxUint256 is an allowance that transferFrom does not use up.
	maxUint256 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
)

// domainSeparator is the token's EIP-712 domain separator.
var domainSeparator = crypto.Keccak256Hash(
	domainTypeHash[:], crypto.Keccak256([]byte(TokenName)), crypto.Keccak256([]byte(TokenVersion)), word(new(big.Int).SetUint64(ChainID)),
	common.LeftPadBytes(TokenAddress[:], 32),
)

func word(n *big.Int) []byte { return common.BigToHash(n).Bytes() }

func addressWord(a common.Address) []byte { return common.LeftPadBytes(a[:], 32) }

// tokenContract is TestToken in Go: the same results, events and errors.
type tokenContract struct {
	abi abi.ABI
}

func tokenMethods(t tokenContract) map[string]method {
	constant := func(results ...any) method {
		return method{gasView, func(*frame, []any) ([]any, error) { return results, nil }}
	}
	return map[string]method{
		"name":             constant(TokenName),
		"symbol":           constant(TokenName),
		"version":          constant(TokenVersion),
		"decimals":         constant(uint8(TokenDecimals)),
		"DOMAIN_SEPARATOR": constant([32]byte(domainSeparator)),
		"eip712Domain": constant([1]byte{0x0f}, TokenName, TokenVersion, new(big.Int).SetUint64(ChainID), TokenAddress, [32]byte{},
			[]*big.Int{}),
		"totalSupply":               {gasView, func(f *frame, _ []any) ([]any, error) { return []any{f.supply()}, nil }},
		"balanceOf":                 {gasView, t.balanceOf},
		"allowance":                 {gasView, t.allowance},
		"authorizationState":        {gasView, t.authorizationState},
		"mint":                      {gasWrite, t.mint},
		"transfer":                  {gasWrite, t.transfer},
		"approve":                   {gasWrite, t.approve},
		"transferFrom":              {gasWrite, t.transferFrom},
		"transferWithAuthorization": {gasSettlement, t.settle(transferTypeHash, false)},
		"receiveWithAuthorization":  {gasSettlement, t.settle(receiveTypeHash, true)},
		"cancelAuthorization":       {gasWrite, t.cancel},
	}
}

func (t tokenContract) balanceOf(f *frame, args []any) ([]any, error) {
	return []any{orZero(f.tokens[args[0].(common.Address)])}, nil
}

func (t tokenContract) allowance(f *frame, args []any) ([]any, error) {
	return []any{orZero(f.allowances[allowance{args[0].(common.Address), args[1].(common.Address)}])}, nil
}

func (t tokenContract) authorizationState(f *frame, args []any) ([]any, error) {
	return []any{f.used[authorization{args[0].(common.Address), args[1].([32]byte)}]}, nil
}

func (t tokenContract) mint(f *frame, args []any) ([]any, error) {
	to, amount := args[0].(common.Address), args[1].(*big.Int)
	if to == (common.Address{}) {
		return nil, refuse(t.abi, "ERC20InvalidReceiver", to)
	}
	if new(big.Int).Add(f.supply(), amount).Cmp(maxUint256) > 0 {
		return nil, &revertError{data: overflowPanic}
	}
	f.add(f.tokens, to, amount)
	return nil, t.transferred(f, common.Address{}, to, amount)
}

func (t tokenContract) transfer(f *frame, args []any) ([]any, error) {
	return []any{true}, t.move(f, f.from, args[0].(common.Address), args[1].(*big.Int))
}

func (t tokenContract) approve(f *frame, args []any) ([]any, error) {
	spender, amount := args[0].(common.Address), args[1].(*big.Int)
	if spender == (common.Address{}) {
		return nil, refuse(t.abi, "ERC20InvalidSpender", spender)
	}
	put(f.ledger, f.allowances, allowance{f.from, spender}, amount)
	return []any{true}, f.emit(TokenAddress, t.abi.Events["Approval"], []common.Hash{addressTopic(f.from), addressTopic(spender)}, amount)
}

func (t tokenContract) transferFrom(f *frame, args []any) ([]any, error) {
	return []any{true}, t.spend(f, f.from, args[0].(common.Address), args[1].(common.Address), args[2].(*big.Int))
}

// spend moves tokens of an owner by the allowance that a spender has.
func (t tokenContract) spend(f *frame, spender, owner, to common.Address, amount *big.Int) error {
	key := allowance{owner, spender}
	allowed := orZero(f.allowances[key])
	if allowed.Cmp(amount) < 0 {
		return refuse(t.abi, "ERC20InsufficientAllowance", spender, allowed, amount)
	}
	if allowed.Cmp(maxUint256) != 0 {
		put(f.ledger, f.allowances, key, new(big.Int).Sub(allowed, amount))
	}
	return t.move(f, owner, to, amount)
}

// move is the transfer that all others end in.
func (t tokenContract) move(f *frame, from, to common.Address, amount *big.Int) error {
	switch balance := orZero(f.tokens[from]); {
	case from == (common.Address{}):
		return refuse(t.abi, "ERC20InvalidSender", from)
	case to == (common.Address{}):
		return refuse(t.abi, "ERC20InvalidReceiver", to)
	case balance.Cmp(amount) < 0:
		return refuse(t.abi, "ERC20InsufficientBalance", from, balance, amount)
	}
	f.move(f.tokens, from, to, amount)
	return t.transferred(f, from, to, amount)
}

func (t tokenContract) transferred(f *frame, from, to common.Address, amount *big.Int) error {
	return f.emit(TokenAddress, t.abi.Events["Transfer"], []common.Hash{addressTopic(from), addressTopic(to)}, amount)
}

// settle is transferWithAuthorization, or receiveWithAuthorization where only the payee may call.
func (t tokenContract) settle(typeHash common.Hash, payeeOnly bool) func(*frame, []any) ([]any, error) {
	return func(f *frame, args []any) ([]any, error) {
		from, to, value := args[0].(common.Address), args[1].(common.Address), args[2].(*big.Int)
		after, before, nonce := args[3].(*big.Int), args[4].(*big.Int), args[5].([32]byte)
		inner := crypto.Keccak256(typeHash[:], addressWord(from), addressWord(to), word(value), word(after), word(before), nonce[:])
		if err := t.checkSignature(from, inner, args[6].(uint8), args[7].([32]byte), args[8].([32]byte)); err != nil {
			return nil, err
		}
		if payeeOnly && to != f.from {
			return nil, refuse(t.abi, "ERC20InvalidReceiver", to)
		}
		now := new(big.Int).SetUint64(f.time)
		if now.Cmp(after) <= 0 || now.Cmp(before) >= 0 {
			return nil, refuse(t.abi, "ERC3009InvalidAuthorizationTime", after, before)
		}
		if err := t.consume(f, from, nonce, "AuthorizationUsed"); err != nil {
			return nil, err
		}
		return nil, t.move(f, from, to, value)
	}
}

func (t tokenContract) cancel(f *frame, args []any) ([]any, error) {
	from, nonce := args[0].(common.Address), args[1].([32]byte)
	inner := crypto.Keccak256(cancelTypeHash[:], addressWord(from), nonce[:])
	if err := t.checkSignature(from, inner, args[2].(uint8), args[3].([32]byte), args[4].([32]byte)); err != nil {
		return nil, err
	}
	return nil, t.consume(f, from, nonce, "AuthorizationCanceled")
}

func (t tokenContract) consume(f *frame, from common.Address, nonce [32]byte, event string) error {
	key := authorization{from, nonce}
	if f.used[key] {
		return refuse(t.abi, "ERC3009UsedAuthorization", from, nonce)
	}
	put(f.ledger, f.used, key, true)
	return f.emit(TokenAddress, t.abi.Events[event], []common.Hash{addressTopic(from), nonce})
}

// checkSignature recovers the signer as OpenZeppelin's ECDSA does: v is 27 or 28 and s in the lower half.
func (t tokenContract) checkSignature(signer common.Address, inner []byte, v uint8, r, s [32]byte) error {
	digest := crypto.Keccak256([]byte("\x19\x01"), domainSeparator[:], inner)
	rn, sn := new(big.Int).SetBytes(r[:]), new(big.Int).SetBytes(s[:])
	if v < 27 || !crypto.ValidateSignatureValues(v-27, rn, sn, true) {
		if sn.Cmp(halfN) > 0 {
			return refuse(t.abi, "ECDSAInvalidSignatureS", s)
		}
		return refuse(t.abi, "ECDSAInvalidSignature")
	}
	key, err := crypto.SigToPub(digest, append(append(r[:32:32], s[:]...), v-27))
	if err != nil {
		return refuse(t.abi, "ECDSAInvalidSignature")
	}
	if crypto.PubkeyToAddress(*key) != signer {
		return refuse(t.abi, "ERC3009InvalidSignature")
	}
	return nil
}

// halfN is half of the curve's order.
var halfN = new(big.Int).Rsh(crypto.S256().Params().N, 1)

// maxDeadline is the latest deadline that the escrow stores.
var maxDeadline = new(big.Int).SetUint64(math.MaxUint64)

// overflowPanic is Solidity's Panic(0x11).
var overflowPanic = append(crypto.Keccak256([]byte("Panic(uint256)"))[:4:4], word(big.NewInt(0x11))...)
