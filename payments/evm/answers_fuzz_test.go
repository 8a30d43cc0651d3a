// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/wallet"
)

// fuzzNode answers eth_chainId honestly and everything else with one result.
type fuzzNode struct {
	result json.RawMessage
	asked  int
}

func (n *fuzzNode) RoundTrip(r *http.Request) (*http.Response, error) {
	var q struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, err
	}
	n.asked++
	result := n.result
	if q.Method == "eth_chainId" {
		result = json.RawMessage(`"0x14a34"`)
	}
	body := string(result) // what is no JSON breaks the envelope too
	if !strings.HasPrefix(body, `{"jsonrpc"`) {
		body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, result)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

var (
	fuzzToken = common.HexToAddress("0x036CbD53842c5426634e7929541eC2318f3dCF7e")
	fuzzPayer = common.HexToAddress("0x1563915e194D8CfBA1943570603F7606A3115508")
	fuzzPayee = common.HexToAddress("0x3333333333333333333333333333333333333333")
	fuzzHash  = common.HexToHash("0xabcd000000000000000000000000000000000000000000000000000000000001")
)

func fuzzChain(t *testing.T, result []byte) (*Chain, *fuzzNode) {
	t.Helper()
	n := &fuzzNode{result: result}
	c, err := Dial(Config{ID: "eip155:84532", Name: "fuzz", RPC: []string{"http://127.0.0.1"}, HTTPClient: &http.Client{Transport: n},
		Gas: Gas{MaxFeePerGas: money.FromUint64(1), PerDay: money.FromUint64(1)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, n
}

// FuzzAnswers has a node answer any JSON to every question: it is what was asked
// for or an error with an action. A payment, a balance or a used authorisation is
// never made of anything else.
func FuzzAnswers(f *testing.F) {
	word := "0x" + strings.Repeat("0", 63) + "1"
	transfer := `{"address":"` + fuzzToken.Hex() + `","topics":["` + topicTransfer.Hex() + `","` + common.BytesToHash(fuzzPayer[:]).Hex() + `","` +
		common.BytesToHash(fuzzPayee[:]).Hex() + `"],"data":"` + word + `","blockNumber":"0x5","transactionHash":"` + fuzzHash.Hex() + `","transactionIndex":"0x0","blockHash":"` + fuzzHash.Hex() + `","logIndex":"0x0","removed":false}`
	receipt := `{"status":"0x1","type":"0x2","cumulativeGasUsed":"0x1","logsBloom":"0x` + strings.Repeat("00", 256) + `","transactionHash":"` + fuzzHash.Hex() +
		`","gasUsed":"0x1","effectiveGasPrice":"0x1","blockHash":"` + fuzzHash.Hex() + `","blockNumber":"0x5","transactionIndex":"0x0","logs":[LOG]}`
	for _, seed := range []string{`"` + word + `"`, `"0x"`, `null`, `[]`, `[` + transfer + `]`, `[null]`, strings.ReplaceAll(receipt, "LOG", transfer),
		strings.ReplaceAll(receipt, "LOG", "null"), strings.ReplaceAll(receipt, `"0x5"`, `"0xffffffffffffffffff"`), `{"hash":"` + fuzzHash.Hex() + `"}`,
		`{"number":"0x5","timestamp":"0x1","transactions":[null]}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"nonce too low"}}`, `"0x14a34"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, result []byte) {
		c, n := fuzzChain(t, result)
		ctx := t.Context()
		check := func(what string, err error) bool {
			if err != nil && Classify(err) == 0 {
				t.Fatalf("%s: no action for %v", what, err)
			}
			if err != nil && len(err.Error()) > 64<<10 {
				t.Fatalf("%s: error of %d bytes", what, len(err.Error()))
			}
			return err == nil
		}
		if r, err := c.receipt(ctx, fuzzHash); check("receipt", err) {
			if r.TxHash != fuzzHash {
				t.Fatalf("receipt of %s", r.TxHash)
			}
			amount := money.FromUint64(1)
			if movedIn(r, &fuzzToken, fuzzPayer, fuzzPayee, amount) && !mentions(result, topicTransfer.Hex(), fuzzToken.Hex()) {
				t.Fatalf("a transfer was seen in %s", result)
			}
			_ = eventIn(r, fuzzToken, topicTransfer, fuzzHash)
		}
		if a, err := c.TokenBalance(ctx, fuzzToken, fuzzPayer); check("balance", err) && !oneWord(result, a.Big()) {
			t.Fatalf("balance %s of %s", a, result)
		}
		if used, err := c.AuthorizationState(ctx, fuzzToken, fuzzPayer, fuzzHash, nil); check("authorisation", err) && !oneWord(result, big.NewInt(map[bool]int64{true: 1}[used])) {
			t.Fatalf("authorisation used %v of %s", used, result)
		}
		if end, err := c.FindAuthorization(ctx, fuzzToken, fuzzPayer, fuzzHash, time.Unix(1, 0), Head{Number: 5, Time: time.Unix(2, 0)}); err == nil && end.Used &&
			!mentions(result, topicAuthUsed.Hex(), fuzzHash.Hex(), fuzzToken.Hex()) {
			t.Fatalf("authorisation used in %s", result)
		}
		if moved, err := c.TransfersFrom(ctx, fuzzToken, fuzzPayer, 1, 5); check("transfers", err) && len(moved) > 0 && !mentions(result, topicTransfer.Hex(), fuzzToken.Hex()) {
			t.Fatalf("%d transfers in %s", len(moved), result)
		}
		_, err := c.nonceAt(ctx, fuzzPayer, nil)
		check("nonce", err)
		_, err = c.Head(ctx)
		check("head", err)
		_, err = c.transactionIn(ctx, 5, fuzzPayer, 0)
		check("block", err)
		if n.asked > 200 {
			t.Fatalf("%d questions", n.asked)
		}
	})
}

// mentions says whether an answer holds all the texts, in any letter case.
func mentions(result []byte, texts ...string) bool {
	lower := bytes.ToLower(result)
	for _, text := range texts {
		if !bytes.Contains(lower, []byte(strings.ToLower(text[2:]))) {
			return false
		}
	}
	return true
}

// oneWord says whether an answer is one word of 32 bytes with a value.
func oneWord(result []byte, value *big.Int) bool {
	if bytes.HasPrefix(result, []byte(`{"jsonrpc"`)) || !json.Valid(result) {
		return true // an envelope of its own, or one that it broke
	}
	var text string
	if json.Unmarshal(result, &text) != nil || len(text) != 66 {
		return false
	}
	got, ok := new(big.Int).SetString(text[2:], 16)
	return ok && got.Cmp(value) == 0
}

// FuzzStored reads what should be bytes that we signed: they are read as a call of
// ours or refused, and say the same when they are made again.
func FuzzStored(f *testing.F) {
	abi := wallet.DefaultEscrowABI()
	for _, data := range [][]byte{
		wallet.TransferCall(fuzzPayee, money.FromUint64(10_000)), wallet.ApproveCall(fuzzPayee, money.FromUint64(0)),
		abi.LockCall(wallet.EscrowFields{Order: fuzzHash, Token: fuzzToken, Payee: fuzzPayee, Amount: money.FromUint64(7)}),
	} {
		raw, err := types.NewTx(&types.DynamicFeeTx{ChainID: big.NewInt(84532), To: &fuzzToken, Data: data}).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(data)
	}
	f.Add([]byte{2, 0xc0})
	for _, none := range []types.TxData{ // of no chain, which go-ethereum's signers do not survive
		&types.LegacyTx{To: &fuzzToken, V: big.NewInt(27), R: big.NewInt(1), S: big.NewInt(1)},
		&types.DynamicFeeTx{ChainID: new(big.Int), To: &fuzzToken, V: big.NewInt(1), R: big.NewInt(1), S: big.NewInt(1)},
	} {
		raw, err := types.NewTx(none).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		token, to, amount, err := TransferOf(raw)
		if err == nil && !bytes.Contains(raw, wallet.TransferCall(to, amount)) {
			t.Fatalf("%x is a transfer of %s of %s to %s", raw, amount, token, to)
		}
		_, spender, amount, err := ApprovalOf(raw)
		if err == nil && !bytes.Contains(raw, wallet.ApproveCall(spender, amount)) {
			t.Fatalf("%x is an approval of %s for %s", raw, amount, spender)
		}
		if p, err := decode(ledger.Attempt{Raw: raw, Chain: "eip155:84532", Signer: fuzzPayer, Nonce: "0"}); err == nil {
			t.Fatalf("bytes without a record are taken: %+v", p)
		}
		if fields, err := abi.ReadLock(raw); err == nil && !bytes.Equal(abi.LockCall(fields), raw) {
			t.Fatalf("%x is the lock %+v", raw, fields)
		}
		if fields, released, err := abi.ReadPayout(raw); err == nil {
			call := abi.RefundCall(fields)
			if released {
				call = abi.ReleaseCall(fields)
			}
			if !bytes.Equal(call, raw) {
				t.Fatalf("%x is the payout %+v", raw, fields)
			}
		}
		_, err = decodeDomain(raw)
		if err != nil && Classify(fmt.Errorf("%w", err)) == 0 {
			t.Fatalf("no action for %v", err)
		}
	})
}
