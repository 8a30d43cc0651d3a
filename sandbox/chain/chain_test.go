// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/agentd-project/agentd/sandbox/chain"
	"github.com/agentd-project/agentd/sandbox/contracts"
)

// held is a chain whose mining can be held.
type held interface {
	chain.Chain
	SetAutomine(bool)
}

// world is one chain with a payer that has a thousand tokens and an ether, and a payee that has nothing.
type world struct {
	chain  held
	eth    *ethclient.Client
	token  abi.ABI
	escrow abi.ABI
	key    *ecdsa.PrivateKey
	payer  common.Address
	payee  common.Address
}

const endowment = 1_000_000_000

func newKey(t *testing.T) (*ecdsa.PrivateKey, common.Address) {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key, crypto.PubkeyToAddress(key.PublicKey)
}

type open func(*testing.T, chain.Config) held

func openSimulated(t *testing.T, c chain.Config) held {
	t.Helper()
	s, err := chain.NewSimulated(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t *testing.T, start open, c chain.Config) *world {
	t.Helper()
	w := &world{}
	w.key, w.payer = newKey(t)
	_, w.payee = newKey(t)
	c.Accounts = append(c.Accounts, chain.Account{Address: w.payer, Wei: big.NewInt(1e18), Tokens: big.NewInt(endowment)})
	w.chain = start(t, c)
	t.Cleanup(func() {
		if err := w.chain.Close(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if w.eth, err = chain.Dial(w.chain.Handler()); err != nil {
		t.Fatal(err)
	}
	token, err := contracts.TestToken()
	if err != nil {
		t.Fatal(err)
	}
	escrow, err := contracts.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	w.token, w.escrow = token.ABI, escrow.ABI
	return w
}

func pack(t *testing.T, a abi.ABI, method string, args ...any) []byte {
	t.Helper()
	input, err := a.Pack(method, args...)
	if err != nil {
		t.Fatal(err)
	}
	return input
}

// signed returns a transaction of the payer that is not sent.
func (w *world) signed(t *testing.T, to common.Address, input []byte, change func(*types.DynamicFeeTx)) *types.Transaction {
	t.Helper()
	return w.signedBy(t, w.key, to, input, change)
}

func (w *world) signedBy(t *testing.T, key *ecdsa.PrivateKey, to common.Address, input []byte, change func(*types.DynamicFeeTx)) *types.Transaction {
	t.Helper()
	nonce, err := w.eth.PendingNonceAt(t.Context(), crypto.PubkeyToAddress(key.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	inner := &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(chain.ChainID), Nonce: nonce, GasTipCap: big.NewInt(1e6), GasFeeCap: big.NewInt(5e9),
		Gas: 300_000, To: &to, Data: input,
	}
	if change != nil {
		change(inner)
	}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(inner.ChainID), inner)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func (w *world) send(t *testing.T, tx *types.Transaction) {
	t.Helper()
	if err := w.eth.SendTransaction(t.Context(), tx); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func (w *world) receipt(t *testing.T, tx common.Hash) *types.Receipt {
	t.Helper()
	r, err := w.chain.Receipt(t.Context(), tx)
	if err != nil {
		t.Fatalf("receipt: %v", err)
	}
	if r == nil {
		t.Fatalf("receipt of %s is missing", tx)
	}
	return r
}

func (w *world) wantBalance(t *testing.T, account common.Address, want int64) {
	t.Helper()
	got, err := w.chain.BalanceOf(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	if got.Cmp(big.NewInt(want)) != 0 {
		t.Errorf("balance of %s: got %s, want %d", account, got, want)
	}
}

// authorize signs an EIP-3009 transfer as a wallet does, by the typed data of EIP-712.
func (w *world) authorize(t *testing.T, value, after, before int64, nonce [32]byte) chain.Authorization {
	t.Helper()
	a := chain.Authorization{
		From: w.payer, To: w.payee, Value: big.NewInt(value), ValidAfter: big.NewInt(after), ValidBefore: big.NewInt(before), Nonce: nonce,
	}
	data := apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain": {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"}},
			"TransferWithAuthorization": {
				{Name: "from", Type: "address"}, {Name: "to", Type: "address"}, {Name: "value", Type: "uint256"},
				{Name: "validAfter", Type: "uint256"}, {Name: "validBefore", Type: "uint256"}, {Name: "nonce", Type: "bytes32"},
			},
		},
		PrimaryType: "TransferWithAuthorization",
		Domain:      apitypes.TypedDataDomain{Name: "USDC", Version: "2", ChainId: math.NewHexOrDecimal256(int64(chain.ChainID)), VerifyingContract: chain.TokenAddress.Hex()},
		Message: apitypes.TypedDataMessage{
			"from": a.From.Hex(), "to": a.To.Hex(), "value": a.Value, "validAfter": a.ValidAfter, "validBefore": a.ValidBefore, "nonce": hexutil.Encode(nonce[:]),
		},
	}
	digest, _, err := apitypes.TypedDataAndHash(data)
	if err != nil {
		t.Fatal(err)
	}
	if a.Signature, err = crypto.Sign(digest, w.key); err != nil {
		t.Fatal(err)
	}
	a.Signature[64] += 27
	return a
}

func (w *world) headTime(t *testing.T) int64 {
	t.Helper()
	head, err := w.chain.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int64(head.Time)
}

// contract is what every chain must do.
var contract = []struct {
	name string
	run  func(*testing.T, *world)
}{
	{"identity", testIdentity},
	{"token", testToken},
	{"transfer", testTransfer},
	{"transfer of ether", testEther},
	{"transfer beyond balance", testBeyondBalance},
	{"refused transactions", testRefused},
	{"nonce gap", testNonceGap},
	{"settle", testSettle},
	{"settle refused", testSettleRefused},
	{"cancelled authorization", testCancelled},
	{"tags", testTags},
	{"fees", testFees},
	{"logs", testLogs},
	{"escrow", testEscrow},
	{"held mining", testHeld},
	{"replacement", testReplacement},
	{"JSON-RPC errors", testRPCErrors},
}

func TestSimulated(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, newWorld(t, openSimulated, chain.Config{BlockTime: -1}))
		})
	}
}

func openMemory(t *testing.T, c chain.Config) held {
	t.Helper()
	m, err := chain.NewMemory(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemory(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.run(t, newWorld(t, openMemory, chain.Config{BlockTime: -1}))
			})
		})
	}
}

func testIdentity(t *testing.T, w *world) {
	id, err := w.eth.ChainID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if id.Uint64() != 84532 || w.chain.ID() != 84532 || w.chain.CAIP2() != "eip155:84532" {
		t.Errorf("chain id: got %s, %d, %s", id, w.chain.ID(), w.chain.CAIP2())
	}
	network, err := w.eth.NetworkID(t.Context())
	if err != nil || network.Cmp(id) != 0 {
		t.Errorf("network id: got %v, %v, want %s", network, err, id)
	}
	for name, address := range map[string]common.Address{"token": w.chain.Token(), "escrow": w.chain.Escrow()} {
		code, err := w.eth.CodeAt(t.Context(), address, nil)
		if err != nil || len(code) == 0 {
			t.Errorf("code of %s: got %d bytes, %v", name, len(code), err)
		}
	}
	if code, err := w.eth.CodeAt(t.Context(), w.payee, nil); err != nil || len(code) != 0 {
		t.Errorf("code of an account: got %d bytes, %v", len(code), err)
	}
}

// view calls a method of the token at the newest block and returns its first result.
func (w *world) view(t *testing.T, method string, args ...any) []any {
	t.Helper()
	to := chain.TokenAddress
	ret, err := w.eth.CallContract(t.Context(), ethereum.CallMsg{To: &to, Data: pack(t, w.token, method, args...)}, nil)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	out, err := w.token.Unpack(method, ret)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return out
}

func testToken(t *testing.T, w *world) {
	domain := apitypes.TypedDataDomain{Name: "USDC", Version: "2", ChainId: math.NewHexOrDecimal256(84532), VerifyingContract: chain.TokenAddress.Hex()}
	data := apitypes.TypedData{
		Types:  apitypes.Types{"EIP712Domain": {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"}}},
		Domain: domain,
	}
	separator, err := data.HashStruct("EIP712Domain", domain.Map())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method string
		want   any
	}{
		{"name", "USDC"},
		{"symbol", "USDC"},
		{"version", "2"},
		{"decimals", uint8(6)},
		{"DOMAIN_SEPARATOR", [32]byte(separator)},
	} {
		if got := w.view(t, c.method)[0]; got != c.want {
			t.Errorf("%s: got %v, want %v", c.method, got, c.want)
		}
	}
	if got := w.view(t, "totalSupply")[0].(*big.Int); got.Int64() != endowment {
		t.Errorf("totalSupply: got %s, want %d", got, endowment)
	}
	got := w.view(t, "eip712Domain")
	if got[0] != [1]byte{0x0f} || got[1] != "USDC" || got[2] != "2" || got[3].(*big.Int).Uint64() != 84532 || got[4] != chain.TokenAddress || got[5] != [32]byte{} || len(got[6].([]*big.Int)) != 0 {
		t.Errorf("eip712Domain: got %v", got)
	}
	w.wantBalance(t, w.payer, endowment)
	w.wantBalance(t, w.payee, 0)
}

func testTransfer(t *testing.T, w *world) {
	tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(250_000)), nil)
	if r, err := w.chain.Receipt(t.Context(), tx.Hash()); r != nil || err != nil {
		t.Fatalf("receipt before sending: got %v, %v, want none", r, err)
	}
	w.send(t, tx)
	r := w.receipt(t, tx.Hash())
	if r.Status != types.ReceiptStatusSuccessful || len(r.Logs) != 1 {
		t.Fatalf("receipt: got status %d, %d logs", r.Status, len(r.Logs))
	}
	if r.GasUsed < 21_000 || r.GasUsed > 120_000 {
		t.Errorf("gas: got %d", r.GasUsed)
	}
	w.wantBalance(t, w.payer, endowment-250_000)
	w.wantBalance(t, w.payee, 250_000)
	transfers, err := w.chain.Transfers(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(transfers) != 1 {
		t.Fatalf("transfers: got %d, want 1", len(transfers))
	}
	got := transfers[0]
	if got.From != w.payer || got.To != w.payee || got.Value.Int64() != 250_000 || got.Tx != tx.Hash() || got.Block != r.BlockNumber.Uint64() || int64(got.Time) != w.headTime(t) {
		t.Errorf("transfer: got %+v", got)
	}
	if known, pending, err := w.eth.TransactionByHash(t.Context(), tx.Hash()); err != nil || pending || known.Hash() != tx.Hash() {
		t.Errorf("transaction by hash: got %v, pending %t, %v", known, pending, err)
	}
	fee := new(big.Int).Mul(r.EffectiveGasPrice, new(big.Int).SetUint64(r.GasUsed))
	left, err := w.eth.BalanceAt(t.Context(), w.payer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := new(big.Int).Sub(big.NewInt(1e18), fee); left.Cmp(want) != 0 {
		t.Errorf("ether after the fee: got %s, want %s", left, want)
	}
}

func testEther(t *testing.T, w *world) {
	tx := w.signed(t, w.payee, nil, func(d *types.DynamicFeeTx) { d.Value, d.Gas = big.NewInt(7), 21_000 })
	w.send(t, tx)
	if r := w.receipt(t, tx.Hash()); r.Status != types.ReceiptStatusSuccessful || r.GasUsed != 21_000 {
		t.Errorf("receipt: got status %d, gas %d", r.Status, r.GasUsed)
	}
	if got, err := w.eth.BalanceAt(t.Context(), w.payee, nil); err != nil || got.Int64() != 7 {
		t.Errorf("balance: got %v, %v, want 7", got, err)
	}
}

// wantRevert fails unless err carries the data of the token's named error.
func wantRevert(t *testing.T, a abi.ABI, err error, name string) {
	t.Helper()
	withData, ok := errors.AsType[rpc.DataError](err)
	if !ok {
		t.Fatalf("got %v, want revert data of %s", err, name)
	}
	if !strings.HasPrefix(err.Error(), "execution reverted") {
		t.Errorf("message: got %q", err)
	}
	if coded, ok := errors.AsType[rpc.Error](err); !ok || coded.ErrorCode() != 3 {
		t.Errorf("code: got %v, want 3", err)
	}
	text, _ := withData.ErrorData().(string)
	if want := a.Errors[name].ID.Hex()[:10]; !strings.HasPrefix(text, want) {
		t.Errorf("revert data: got %q, want %s of %s", text, want, name)
	}
}

func testBeyondBalance(t *testing.T, w *world) {
	input := pack(t, w.token, "transfer", w.payee, big.NewInt(endowment+1))
	to := chain.TokenAddress
	_, err := w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: input})
	wantRevert(t, w.token, err, "ERC20InsufficientBalance")
	_, err = w.eth.CallContract(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: input}, nil)
	wantRevert(t, w.token, err, "ERC20InsufficientBalance")
	tx := w.signed(t, chain.TokenAddress, input, nil)
	w.send(t, tx)
	if r := w.receipt(t, tx.Hash()); r.Status != types.ReceiptStatusFailed || len(r.Logs) != 0 || r.GasUsed == 0 {
		t.Errorf("receipt: got status %d, %d logs, gas %d", r.Status, len(r.Logs), r.GasUsed)
	}
	w.wantBalance(t, w.payer, endowment)
	if n, err := w.eth.NonceAt(t.Context(), w.payer, nil); err != nil || n != 1 {
		t.Errorf("nonce: got %d, %v, want 1", n, err)
	}
}

func testRefused(t *testing.T, w *world) {
	input := pack(t, w.token, "transfer", w.payee, big.NewInt(1))
	first := w.signed(t, chain.TokenAddress, input, nil)
	w.send(t, first)
	poor, _ := newKey(t)
	for _, c := range []struct {
		name string
		tx   *types.Transaction
		want string
	}{
		{"used nonce", w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) { d.Nonce, d.Gas = 0, 200_000 }), "nonce too low"},
		{"no ether", w.signedBy(t, poor, chain.TokenAddress, input, nil), "insufficient funds for gas * price + value"},
		{"value beyond ether", w.signed(t, w.payee, nil, func(d *types.DynamicFeeTx) { d.Value = big.NewInt(2e18) }), "insufficient funds for gas * price + value"},
		{"too little gas", w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) { d.Gas = 20_000 }), "intrinsic gas too low"},
		{"tip above cap", w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) { d.GasTipCap = big.NewInt(6e9) }), "max priority fee per gas higher than max fee per gas"},
		{"other chain", w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) { d.ChainID = big.NewInt(1) }), "invalid chain id"},
	} {
		err := w.eth.SendTransaction(t.Context(), c.tx)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	w.wantBalance(t, w.payee, 1)
}

func testNonceGap(t *testing.T, w *world) {
	input := pack(t, w.token, "transfer", w.payee, big.NewInt(1))
	second := w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) { d.Nonce = 1 })
	w.send(t, second)
	if r, err := w.chain.Receipt(t.Context(), second.Hash()); r != nil || err != nil {
		t.Errorf("receipt behind a gap: got %v, %v, want none", r, err)
	}
	if _, pending, err := w.eth.TransactionByHash(t.Context(), second.Hash()); err != nil || !pending {
		t.Errorf("transaction behind a gap: pending %t, %v", pending, err)
	}
	w.send(t, w.signed(t, chain.TokenAddress, input, func(d *types.DynamicFeeTx) { d.Nonce = 0 }))
	w.receipt(t, second.Hash())
	w.wantBalance(t, w.payee, 2)
}

func testSettle(t *testing.T, w *world) {
	nonce := [32]byte{1}
	a := w.authorize(t, 40_000, 0, w.headTime(t)+300, nonce)
	if used, err := w.chain.AuthorizationState(t.Context(), w.payer, nonce); err != nil || used {
		t.Fatalf("state before: got %t, %v", used, err)
	}
	hash, err := w.chain.Settle(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if used, err := w.chain.AuthorizationState(t.Context(), w.payer, nonce); err != nil || !used {
		t.Errorf("state after: got %t, %v, want used", used, err)
	}
	r := w.receipt(t, hash)
	if len(r.Logs) != 2 || r.Logs[0].Topics[0] != w.token.Events["AuthorizationUsed"].ID || r.Logs[1].Topics[0] != w.token.Events["Transfer"].ID {
		t.Errorf("logs: got %v", r.Logs)
	}
	t.Logf("gas %d", r.GasUsed)
	if r.GasUsed > 120_000 {
		t.Errorf("gas: got %d, want below 120000", r.GasUsed)
	}
	w.wantBalance(t, w.payer, endowment-40_000)
	w.wantBalance(t, w.payee, 40_000)
	if _, err := w.chain.Settle(t.Context(), a); !errors.Is(err, chain.ErrReverted) || !strings.Contains(err.Error(), "ERC3009UsedAuthorization") {
		t.Errorf("replay: got %v, want ErrReverted", err)
	}
	w.wantBalance(t, w.payee, 40_000)
}

func testSettleRefused(t *testing.T, w *world) {
	now := w.headTime(t)
	forged := w.authorize(t, 1, 0, now+300, [32]byte{4})
	forged.Value = big.NewInt(2)
	short := w.authorize(t, 1, 0, now+300, [32]byte{5})
	short.Signature = short.Signature[:64]
	for _, c := range []struct {
		name string
		a    chain.Authorization
		want string
	}{
		{"expired", w.authorize(t, 1, 0, now-1, [32]byte{1}), "ERC3009InvalidAuthorizationTime"},
		{"not yet valid", w.authorize(t, 1, now+600, now+900, [32]byte{2}), "ERC3009InvalidAuthorizationTime"},
		{"beyond balance", w.authorize(t, endowment+1, 0, now+300, [32]byte{3}), "ERC20InsufficientBalance"},
		{"forged", forged, "ERC3009InvalidSignature"},
		{"short signature", short, "signature"},
	} {
		hash, err := w.chain.Settle(t.Context(), c.a)
		if !errors.Is(err, chain.ErrReverted) || !strings.Contains(err.Error(), c.want) || hash != (common.Hash{}) {
			t.Errorf("%s: got %s, %v, want %s", c.name, hash, err, c.want)
		}
		if used, err := w.chain.AuthorizationState(t.Context(), w.payer, c.a.Nonce); err != nil || used {
			t.Errorf("%s: state: got %t, %v", c.name, used, err)
		}
	}
	w.wantBalance(t, w.payer, endowment)
}

func testCancelled(t *testing.T, w *world) {
	nonce := [32]byte{9}
	typeHash := crypto.Keccak256Hash([]byte("CancelAuthorization(address authorizer,bytes32 nonce)"))
	separator := w.view(t, "DOMAIN_SEPARATOR")[0].([32]byte)
	inner := crypto.Keccak256(typeHash[:], common.LeftPadBytes(w.payer[:], 32), nonce[:])
	sig, err := crypto.Sign(crypto.Keccak256([]byte("\x19\x01"), separator[:], inner), w.key)
	if err != nil {
		t.Fatal(err)
	}
	tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "cancelAuthorization", w.payer, nonce, sig[64]+27, [32]byte(sig[:32]), [32]byte(sig[32:64])), nil)
	w.send(t, tx)
	r := w.receipt(t, tx.Hash())
	if r.Status != types.ReceiptStatusSuccessful || len(r.Logs) != 1 || r.Logs[0].Topics[0] != w.token.Events["AuthorizationCanceled"].ID {
		t.Fatalf("cancel: got status %d, logs %v", r.Status, r.Logs)
	}
	if used, err := w.chain.AuthorizationState(t.Context(), w.payer, nonce); err != nil || !used {
		t.Errorf("state: got %t, %v, want true", used, err)
	}
	if _, err := w.chain.Settle(t.Context(), w.authorize(t, 1, 0, w.headTime(t)+300, nonce)); !errors.Is(err, chain.ErrReverted) {
		t.Errorf("settle after cancel: got %v", err)
	}
}

func testTags(t *testing.T, w *world) {
	for range 4 {
		if err := w.chain.Mine(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		tag  rpc.BlockNumber
		want uint64
	}{
		{rpc.LatestBlockNumber, 4},
		{rpc.SafeBlockNumber, 4},
		{rpc.FinalizedBlockNumber, 2},
		{rpc.PendingBlockNumber, 5},
		{rpc.EarliestBlockNumber, 0},
		{3, 3},
	} {
		var got struct{ Number hexutil.Uint64 }
		if err := w.eth.Client().CallContext(t.Context(), &got, "eth_getBlockByNumber", c.tag, false); err != nil || uint64(got.Number) != c.want {
			t.Errorf("%s: got block %d, %v, want %d", c.tag, got.Number, err, c.want)
		}
	}
	if _, err := w.eth.HeaderByNumber(t.Context(), big.NewInt(99)); !errors.Is(err, ethereum.NotFound) {
		t.Errorf("block beyond the head: got %v, want not found", err)
	}
	if n, err := w.eth.BlockNumber(t.Context()); err != nil || n != 4 {
		t.Errorf("block number: got %d, %v, want 4", n, err)
	}
	head, err := w.chain.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parent, err := w.eth.HeaderByHash(t.Context(), head.ParentHash)
	if err != nil || parent.Number.Uint64() != 3 || parent.Hash() != head.ParentHash {
		t.Errorf("parent: got %v, %v", parent, err)
	}
	full, err := w.eth.BlockByNumber(t.Context(), nil)
	if err != nil || full.Hash() != head.Hash() {
		t.Errorf("full block: got %v, %v", full, err)
	}
}

func testFees(t *testing.T, w *world) {
	price, err := w.eth.SuggestGasPrice(t.Context())
	if err != nil || price.Sign() <= 0 {
		t.Errorf("gas price: got %v, %v", price, err)
	}
	if tip, err := w.eth.SuggestGasTipCap(t.Context()); err != nil || tip.Sign() < 0 {
		t.Errorf("tip: got %v, %v", tip, err)
	}
	if err := w.chain.Mine(t.Context()); err != nil {
		t.Fatal(err)
	}
	history, err := w.eth.FeeHistory(t.Context(), 2, nil, []float64{50})
	if err != nil {
		t.Fatal(err)
	}
	if len(history.BaseFee) != 3 || len(history.GasUsedRatio) != 2 || len(history.Reward) != 2 {
		t.Errorf("fee history: got %d base fees, %d ratios, %d rewards, want 3, 2, 2", len(history.BaseFee), len(history.GasUsedRatio), len(history.Reward))
	}
	to := chain.TokenAddress
	gas, err := w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: pack(t, w.token, "transfer", w.payee, big.NewInt(1))})
	if err != nil || gas < 21_000 || gas > 120_000 {
		t.Errorf("estimate: got %d, %v", gas, err)
	}
	tx := w.signed(t, to, pack(t, w.token, "transfer", w.payee, big.NewInt(1)), func(d *types.DynamicFeeTx) { d.Gas = gas })
	w.send(t, tx)
	if r := w.receipt(t, tx.Hash()); r.Status != types.ReceiptStatusSuccessful {
		t.Errorf("with the estimated gas: got status %d", r.Status)
	}
}

func testLogs(t *testing.T, w *world) {
	for i := range 3 {
		w.send(t, w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(int64(i)+1)), nil))
	}
	payer, stranger := common.BytesToHash(w.payer[:]), common.HexToHash("0x99")
	event := w.token.Events["Transfer"].ID
	for _, c := range []struct {
		name string
		q    ethereum.FilterQuery
		want int
	}{
		{"all", ethereum.FilterQuery{FromBlock: big.NewInt(0)}, 3},
		{"last block", ethereum.FilterQuery{FromBlock: big.NewInt(rpc.LatestBlockNumber.Int64())}, 1},
		{"range", ethereum.FilterQuery{FromBlock: big.NewInt(1), ToBlock: big.NewInt(2)}, 2},
		{"until the final block", ethereum.FilterQuery{FromBlock: big.NewInt(0), ToBlock: big.NewInt(rpc.FinalizedBlockNumber.Int64())}, 1},
		{"sender", ethereum.FilterQuery{FromBlock: big.NewInt(0), Topics: [][]common.Hash{{event}, {payer}}}, 3},
		{"either sender", ethereum.FilterQuery{FromBlock: big.NewInt(0), Topics: [][]common.Hash{{event}, {stranger, payer}}}, 3},
		{"other sender", ethereum.FilterQuery{FromBlock: big.NewInt(0), Topics: [][]common.Hash{nil, {stranger}}}, 0},
		{"other contract", ethereum.FilterQuery{FromBlock: big.NewInt(0), Addresses: []common.Address{w.payee}}, 0},
	} {
		logs, err := w.eth.FilterLogs(t.Context(), c.q)
		if err != nil || len(logs) != c.want {
			t.Errorf("%s: got %d logs, %v, want %d", c.name, len(logs), err, c.want)
		}
	}
	if got, err := w.chain.Transfers(t.Context(), 3); err != nil || len(got) != 1 || got[0].Value.Int64() != 3 {
		t.Errorf("transfers from block 3: got %v, %v", got, err)
	}
}

func testEscrow(t *testing.T, w *world) {
	order, amount := [32]byte{7}, big.NewInt(500)
	deadline := big.NewInt(w.headTime(t) + 3600)
	lock := pack(t, w.escrow, "lock", order, chain.TokenAddress, w.payee, amount, deadline)
	to := chain.EscrowAddress
	_, err := w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: lock})
	wantRevert(t, w.escrow, err, "InexactAllowance")
	run := func(key *ecdsa.PrivateKey, to common.Address, input []byte, status uint64) {
		t.Helper()
		tx := w.signedBy(t, key, to, input, nil)
		w.send(t, tx)
		if r := w.receipt(t, tx.Hash()); r.Status != status {
			t.Fatalf("status: got %d, want %d", r.Status, status)
		}
	}
	run(w.key, chain.TokenAddress, pack(t, w.token, "approve", to, amount), 1)
	run(w.key, to, lock, 1)
	w.wantBalance(t, w.payer, endowment-500)
	w.wantBalance(t, to, 500)
	if left := w.view(t, "allowance", w.payer, to)[0].(*big.Int); left.Sign() != 0 {
		t.Errorf("allowance after lock: got %s, want 0", left)
	}
	_, err = w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: lock})
	wantRevert(t, w.escrow, err, "OrderExists")
	_, err = w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payee, To: &to, Data: pack(t, w.escrow, "release", order)})
	wantRevert(t, w.escrow, err, "NotPermitted")
	_, err = w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: pack(t, w.escrow, "refund", order)})
	wantRevert(t, w.escrow, err, "NotPermitted")
	run(w.key, to, pack(t, w.escrow, "release", order), 1)
	w.wantBalance(t, w.payee, 500)
	w.wantBalance(t, to, 0)
	_, err = w.eth.EstimateGas(t.Context(), ethereum.CallMsg{From: w.payer, To: &to, Data: pack(t, w.escrow, "release", order)})
	wantRevert(t, w.escrow, err, "OrderNotLocked")
}

func testHeld(t *testing.T, w *world) {
	w.chain.SetAutomine(false)
	tx := w.signed(t, chain.TokenAddress, pack(t, w.token, "transfer", w.payee, big.NewInt(1)), nil)
	w.send(t, tx)
	if r, err := w.chain.Receipt(t.Context(), tx.Hash()); r != nil || err != nil {
		t.Errorf("receipt while held: got %v, %v, want none", r, err)
	}
	if err := w.eth.SendTransaction(t.Context(), tx); err == nil || !strings.Contains(err.Error(), "already known") {
		t.Errorf("sent twice: got %v, want already known", err)
	}
	latest, err := w.eth.NonceAt(t.Context(), w.payer, nil)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := w.eth.PendingNonceAt(t.Context(), w.payer)
	if err != nil || latest != 0 || pending != 1 {
		t.Errorf("nonces: got latest %d, pending %d, %v, want 0, 1", latest, pending, err)
	}
	if err := w.chain.Mine(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.receipt(t, tx.Hash())
	w.wantBalance(t, w.payee, 1)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	a := w.authorize(t, 1, 0, w.headTime(t)+300, [32]byte{1})
	if _, err := w.chain.Settle(stopped, a); !errors.Is(err, context.Canceled) {
		t.Errorf("settle with a cancelled context: got %v", err)
	}
	settled := make(chan error, 1)
	go func() {
		_, err := w.chain.Settle(t.Context(), a)
		settled <- err
	}()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range 500 {
		select {
		case err := <-settled:
			if err != nil {
				t.Errorf("settle while held: %v", err)
			}
			w.wantBalance(t, w.payee, 2)
			return
		case <-ticker.C:
			if err := w.chain.Mine(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Error("settle while held: not mined by 500 blocks")
}

func testReplacement(t *testing.T, w *world) {
	w.chain.SetAutomine(false)
	input := pack(t, w.token, "transfer", w.payee, big.NewInt(1))
	first := w.signed(t, chain.TokenAddress, input, nil)
	w.send(t, first)
	raise := func(percent int64) func(*types.DynamicFeeTx) {
		return func(d *types.DynamicFeeTx) {
			d.Nonce = 0
			d.GasTipCap = big.NewInt(1e4 * (100 + percent))
			d.GasFeeCap = big.NewInt(5e7 * (100 + percent))
		}
	}
	if err := w.eth.SendTransaction(t.Context(), w.signed(t, chain.TokenAddress, input, raise(5))); err == nil || !strings.Contains(err.Error(), "replacement transaction underpriced") {
		t.Errorf("raised by 5%%: got %v, want replacement transaction underpriced", err)
	}
	second := w.signed(t, chain.TokenAddress, input, raise(15))
	w.send(t, second)
	if err := w.chain.Mine(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.receipt(t, second.Hash())
	if _, _, err := w.eth.TransactionByHash(t.Context(), first.Hash()); !errors.Is(err, ethereum.NotFound) {
		t.Errorf("replaced transaction: got %v, want not found", err)
	}
	w.wantBalance(t, w.payee, 1)
}

func testRPCErrors(t *testing.T, w *world) {
	for _, c := range []struct {
		name, method string
		args         []any
		want         int
	}{
		{"unknown method", "eth_nothing", nil, -32601},
		{"closed namespace", "debug_traceBlockByNumber", []any{"latest"}, -32601},
		{"subscription", "eth_subscribe", []any{"newHeads"}, -32601},
		{"missing argument", "eth_getBalance", nil, -32602},
		{"wrong argument", "eth_getBalance", []any{"0x12", "latest"}, -32602},
	} {
		var got any
		err := w.eth.Client().CallContext(t.Context(), &got, c.method, c.args...)
		coded, ok := errors.AsType[rpc.Error](err)
		if !ok || coded.ErrorCode() != c.want {
			t.Errorf("%s: got %v, want code %d", c.name, err, c.want)
		}
	}
	batch := []rpc.BatchElem{
		{Method: "eth_chainId", Result: new(hexutil.Uint64)},
		{Method: "eth_nothing", Result: new(any)},
	}
	if err := w.eth.Client().BatchCallContext(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := *batch[0].Result.(*hexutil.Uint64); uint64(got) != chain.ChainID || batch[1].Error == nil {
		t.Errorf("batch: got %d, %v", got, batch[1].Error)
	}
}
