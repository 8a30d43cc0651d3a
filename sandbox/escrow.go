// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"math/big"
	"net/http"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/agentd-project/agentd/sandbox/contracts"
)

// escrowOf returns the address that a buyer on an escrow rail is told.
func (m *Market) escrowOf(s *Service) common.Address {
	if s.Escrow == EscrowKeeper {
		return m.keeper()
	}
	return m.chain.Escrow()
}

// lockID is the id under which the contract keeps an order.
func lockID(o *order) common.Hash { return crypto.Keccak256Hash([]byte(o.id)) }

func (m *Market) lockEscrow(c *call) (answer, error) {
	o, err := m.paymentOf(c, m.openOrder)
	if err != nil {
		return answer{}, err
	}
	var body struct {
		TransactionHash string `json:"transactionHash"`
		Chain           string `json:"chain"`
		EscrowAddress   string `json:"escrowAddress"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if err := blank([2]string{"transactionHash", body.TransactionHash}, [2]string{"chain", body.Chain},
		[2]string{"escrowAddress", body.EscrowAddress}); err != nil {
		return answer{}, err
	}
	p := o.payment
	escrow, err := parseAddress("escrowAddress", body.EscrowAddress)
	switch {
	case err != nil:
		return answer{}, err
	case !isEscrow(p.rail.Type):
		return answer{}, invalid("rail %s has no escrow", p.rail.Type)
	case escrow != common.HexToAddress(p.rail.EscrowAddress) || normalChain(body.Chain) != p.rail.Chain:
		return answer{}, invalid("chain and escrowAddress are not those of the payment")
	case !transactionHash.MatchString(body.TransactionHash):
		return answer{}, invalid("transactionHash must be 0x and 64 hex digits")
	}
	proof := &proofRecord{Chain: p.rail.Chain, Token: p.rail.Token, TransactionHash: body.TransactionHash,
		PayerAddress: p.rail.PayerAddress, VerificationMode: "recorded", Metadata: map[string]any{}}
	key := hashKey(body.TransactionHash)
	fresh, err := m.freshProof(o, key)
	if err == nil && fresh && m.opt.Strict {
		if p.locked, err = m.verifyLock(c, o, common.HexToHash(body.TransactionHash)); err == nil {
			proof.VerificationMode = "rpc"
			fresh, err = m.freshProof(o, key)
		}
	}
	if err != nil || !fresh {
		return answer{http.StatusOK, item[paymentRecord]{p.record()}}, err
	}
	proof.VerifiedAt = stamp(m.now())
	m.hold(o, key, proof)
	return okItem(p.record())
}

// verifyLock finds in a transaction the lock of the order in the contract, or a plain transfer of the amount to the escrow.
func (m *Market) verifyLock(c *call, o *order, hash common.Hash) (locked bool, err error) {
	receipt, err := m.minedReceipt(c, hash)
	if err != nil {
		return false, err
	}
	p := o.payment
	token, escrow, due := m.chain.Token(), common.HexToAddress(p.rail.EscrowAddress), p.due.Big()
	for _, l := range receipt.Logs {
		if moved, isMove := readTransfer(l, token); isMove && moved.to == escrow && moved.value.Cmp(due) == 0 {
			locked, err := m.locks(receipt.Logs, o)
			return locked, err
		}
	}
	return false, refuse(codeTransferNotFound, "the transaction moves nothing of that amount to the escrow")
}

// locks says whether logs hold the lock of exactly this order. A lock of another order, payee, token or amount is refused.
func (m *Market) locks(logs []*types.Log, o *order) (bool, error) {
	artifact, err := contracts.Escrow()
	if err != nil {
		return false, err
	}
	event := artifact.ABI.Events["Locked"]
	for _, l := range logs {
		if l.Address != m.chain.Escrow() || len(l.Topics) != 4 || l.Topics[0] != event.ID {
			continue
		}
		args, err := event.Inputs.NonIndexed().Unpack(l.Data)
		if err != nil {
			return false, refuse(codeTransferNotFound, "the lock cannot be read")
		}
		token, isToken := args[0].(common.Address)
		amount, isAmount := args[1].(*big.Int)
		payee := common.BytesToAddress(l.Topics[3][:])
		if !isToken || !isAmount || l.Topics[1] != lockID(o) || payee != common.HexToAddress(o.payment.rail.PayeeAddress) ||
			token != m.chain.Token() || amount.Cmp(o.payment.due.Big()) != 0 {
			return false, invalid("the lock is of another order, payee, token or amount")
		}
		return true, nil
	}
	return false, nil
}

// minedReceipt returns the receipt of a transaction that succeeded.
func (m *Market) minedReceipt(c *call, hash common.Hash) (receipt *types.Receipt, err error) {
	if m.conditions.RPCDown {
		return nil, refuse(codeRPCError, "the RPC failed")
	}
	m.outside(func() { receipt, err = m.chain.Receipt(c.ctx, hash) })
	switch {
	case err != nil:
		return nil, refuse(codeRPCError, "the RPC failed")
	case receipt == nil:
		return nil, refuse(codeNotMined, "the transaction has no receipt")
	case receipt.Status != types.ReceiptStatusSuccessful:
		return nil, refuse(codeTxFailed, "the transaction failed")
	}
	return receipt, nil
}

func (m *Market) releasePayment(c *call) (answer, error) {
	var body struct {
		TransactionHash *string `json:"transactionHash"`
		Notes           *string `json:"notes"`
	}
	return m.finish(c, &body, &body.TransactionHash, "released", "release_pending")
}

func (m *Market) refundPayment(c *call) (answer, error) {
	var body struct {
		TransactionHash *string `json:"transactionHash"`
		Reason          *string `json:"reason"`
	}
	return m.finish(c, &body, &body.TransactionHash, "refunded", "held", "release_pending", "frozen")
}

// finish ends a payment that is in one of the given states.
func (m *Market) finish(c *call, body any, hash **string, status string, from ...string) (answer, error) {
	if err := c.decode(body); err != nil {
		return answer{}, err
	}
	o, err := m.paymentOf(c, m.orderOf)
	if err != nil {
		return answer{}, err
	}
	if o.pairingID != c.pairing.id {
		return answer{}, refuse(codePairingRequired, "the order belongs to another pairing")
	}
	if err = m.admitsEnd(o, status, from); err != nil {
		return answer{}, err
	}
	if m.opt.Strict && isEscrow(o.payment.rail.Type) {
		if err := m.verifyEnd(c, o, *hash, status); err != nil {
			return answer{}, err
		}
		if err = m.admitsEnd(o, status, from); err != nil {
			return answer{}, err
		}
	}
	m.move(o, status)
	return okItem(o.payment.record())
}

func (m *Market) admitsEnd(o *order, status string, from []string) error {
	if !slices.Contains(from, o.payment.status) {
		return conflict("a payment that is %s cannot be %s", o.payment.status, status)
	}
	return nil
}

// verifyEnd holds the end of an escrow against the chain. Value that the contract holds is only released or refunded by a
// transaction that shows it; what went to the escrow as a plain transfer may end without one.
func (m *Market) verifyEnd(c *call, o *order, hash *string, status string) error {
	if hash == nil && !o.payment.locked {
		return nil
	}
	if hash == nil || !transactionHash.MatchString(*hash) {
		return invalid("transactionHash must name the transaction by which the escrow ended the lock")
	}
	receipt, err := m.minedReceipt(c, common.HexToHash(*hash))
	if err != nil || !o.payment.locked {
		return err
	}
	artifact, err := contracts.Escrow()
	if err != nil {
		return err
	}
	event := artifact.ABI.Events["Released"].ID
	if status == "refunded" {
		event = artifact.ABI.Events["Refunded"].ID
	}
	for _, l := range receipt.Logs {
		if l.Address == m.chain.Escrow() && len(l.Topics) == 3 && l.Topics[0] == event && l.Topics[1] == lockID(o) {
			return nil
		}
	}
	return refuse(codeTransferNotFound, "the transaction does not end the lock of the order that way")
}

// movement is an ERC-20 Transfer.
type movement struct {
	from, to common.Address
	value    *big.Int
}

func readTransfer(l *types.Log, token common.Address) (movement, bool) {
	topic := crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
	if l.Address != token || len(l.Topics) != 3 || l.Topics[0] != topic {
		return movement{}, false
	}
	return movement{common.BytesToAddress(l.Topics[1].Bytes()), common.BytesToAddress(l.Topics[2].Bytes()), new(big.Int).SetBytes(l.Data)}, true
}
