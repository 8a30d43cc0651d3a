// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

var (
	checkPayee  = common.Address{0xaa}
	checkEscrow = common.Address{0xee}
)

// seen builds evidence as gather does: orders of 0.02 to one payee, each paid by
// a transaction that was handed over for it.
func seen(change func(*evidence)) *evidence {
	e := &evidence{orders: map[string]*seenOrder{}, claims: map[common.Hash]string{}}
	for i, id := range []string{"ord_1", "ord_2"} {
		tx := common.Hash{byte(i + 1)}
		moved := chain.Transfer{To: checkPayee, Value: big.NewInt(20_000), Tx: tx, Time: uint64(1000 + 100*i)}
		e.orders[id] = &seenOrder{id: id, number: i + 1, payee: checkPayee, price: money.Value(20_000), paid: []chain.Transfer{moved}}
		e.claims[tx] = id
		e.transfers = append(e.transfers, moved)
	}
	change(e)
	return e
}

func TestTortureFindsTransfers(t *testing.T) {
	c := &campaign{local: &local{info: sandbox.Info{Escrow: checkEscrow.Hex()}}}
	for _, test := range []struct {
		name   string
		change func(*evidence)
		want   string // part of the finding, "" for none
	}{
		{"as it should be", func(*evidence) {}, ""},
		{"into the escrow", func(e *evidence) { e.transfers[0].To = checkEscrow }, ""},
		{"another payee", func(e *evidence) { e.transfers[0].To = common.Address{1} }, "quoted was"},
		{"another amount", func(e *evidence) { e.transfers[0].Value = big.NewInt(20_001) }, "is of 20001"},
		{"no order", func(e *evidence) { delete(e.claims, e.transfers[1].Tx) }, "pays no order"},
		{"one order twice", func(e *evidence) {
			e.orders["ord_1"].paid = append(e.orders["ord_1"].paid, e.transfers[0])
		}, "order ord_1 of purchase 1 was paid 2 times"},
		{"two orders of one purchase", func(e *evidence) { e.orders["ord_2"].number = 1 }, "purchase 1 was paid 2 times"},
		{"an order of nobody", func(e *evidence) { e.orders["ord_2"].number = -1 }, "belongs to no purchase"},
		{"one transaction for two orders", func(e *evidence) { e.doubly = []string{"0x01"} }, "for two orders"},
	} {
		got := strings.Join(c.checkTransfers(seen(test.change)), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTortureFindsWindows(t *testing.T) {
	for _, test := range []struct {
		name        string
		long, short money.Value
		second      uint64 // time of the second transfer, the first is at 1000
		findings    int
	}{
		{"within both", 40_000, 40_000, 1100, 0},
		{"above the long one", 39_999, 40_000, 9000, 1},
		{"above the short one", 40_000, 39_999, 1118, 1},
		{"apart enough for the short one", 40_000, 39_999, 1119, 0},
		{"above both", 39_999, 39_999, 1000, 2},
	} {
		e := seen(func(e *evidence) { e.transfers[1].Time = test.second })
		c := &campaign{plan: torturePlan{long: test.long, short: test.short}}
		if got := c.checkWindows(e.transfers); len(got) != test.findings {
			t.Errorf("%s: got %q, want %d findings", test.name, got, test.findings)
		}
	}
}

func TestTortureJudgesEnds(t *testing.T) {
	moves, free := railOf("wallet"), railOf("not-required")
	for _, test := range []struct {
		name string
		p    admin.Purchase
		rail tortureRail
		paid int
		want string
	}{
		{"settled and paid", admin.Purchase{State: "settled", Final: true, Settled: true}, moves, 1, ""},
		{"settled and not paid", admin.Purchase{State: "settled", Final: true, Settled: true}, moves, 0, "want 1"},
		{"denied and paid", admin.Purchase{State: "denied", Final: true, Reason: "window_limit"}, moves, 1, "want 0"},
		{"refunded", admin.Purchase{State: "refunded", Final: true}, moves, 1, ""},
		{"free and paid", admin.Purchase{State: "settled", Final: true, Settled: true}, free, 1, "moved value"},
		{"handed off", admin.Purchase{State: "handed_off", HandedOff: true, Reason: "handed_off"}, free, 0, ""},
		{"for a person", admin.Purchase{State: "needs_operator", Waiting: true, Reason: "held"}, moves, 0, "needs a person"},
		{"without a reason", admin.Purchase{State: "paying"}, moves, 0, "without a reason"},
	} {
		got := judge(1, &test.p, test.rail, test.paid)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTortureReadsTheJournal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "journal.jsonl")
	tx := common.Hash{7}.Hex()
	text := `{"kind":"exchange","operation":"order-create"}
{"kind":"state","event":"order.asked","id":"ord_1","data":{"input":{"tortureNumber":5},"payee":"` + checkPayee.Hex() + `","price":"0.02"}}
{"kind":"state","event":"payment.proof","id":"pay_1","data":{"orderId":"ord_1","transaction":""}}
{"kind":"state","event":"payment.settlement","id":"pay_1","data":{"orderId":"ord_1","transaction":"` + tx + `"}}
{"kind":"state","event":"payment.proof","id":"pay_2","data":{"orderId":"ord_2","transaction":"` + tx + `"}}
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &evidence{orders: map[string]*seenOrder{}, claims: map[common.Hash]string{}}
	if err := e.readJournal(name); err != nil {
		t.Fatal(err)
	}
	o := e.orders["ord_1"]
	if o == nil || o.number != 5 || o.payee != checkPayee || o.price != 20_000 || len(e.claims) != 1 || len(e.doubly) != 1 {
		t.Errorf("got %+v, claims %v, doubly %v", o, e.claims, e.doubly)
	}
}
