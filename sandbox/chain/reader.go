// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/agentd-project/agentd/sandbox/contracts"
)

// reader is what both chains answer in the same way, through their own JSON-RPC endpoint.
type reader struct {
	eth   *ethclient.Client
	token abi.ABI
}

func newReader(eth *ethclient.Client) (reader, error) {
	artifact, err := contracts.TestToken()
	if err != nil {
		return reader{}, err
	}
	return reader{eth: eth, token: artifact.ABI}, nil
}

// ID returns ChainID.
func (r *reader) ID() uint64 { return ChainID }

// CAIP2 returns CAIP2ID.
func (r *reader) CAIP2() string { return CAIP2ID }

// Token returns TokenAddress.
func (r *reader) Token() common.Address { return TokenAddress }

// Escrow returns EscrowAddress.
func (r *reader) Escrow() common.Address { return EscrowAddress }

// Receipt returns the receipt of a mined transaction, or nil and no error where it is not mined.
func (r *reader) Receipt(ctx context.Context, tx common.Hash) (*types.Receipt, error) {
	receipt, err := r.eth.TransactionReceipt(ctx, tx)
	if errors.Is(err, ethereum.NotFound) {
		return nil, nil //nolint:nilnil // the documented answer
	}
	if err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	return receipt, nil
}

// BalanceOf returns the token balance of an account in base units.
func (r *reader) BalanceOf(ctx context.Context, account common.Address) (*big.Int, error) {
	var balance *big.Int
	if err := r.ask(ctx, &balance, "balanceOf", account); err != nil {
		return nil, err
	}
	return balance, nil
}

// AuthorizationState reports whether an EIP-3009 nonce of an account is used or cancelled.
func (r *reader) AuthorizationState(ctx context.Context, from common.Address, nonce [32]byte) (bool, error) {
	var used bool
	if err := r.ask(ctx, &used, "authorizationState", from, nonce); err != nil {
		return false, err
	}
	return used, nil
}

func (r *reader) ask(ctx context.Context, out any, method string, args ...any) error {
	input, err := r.token.Pack(method, args...)
	if err != nil {
		return fmt.Errorf("call token %s: %w", method, err)
	}
	token := TokenAddress
	ret, err := r.eth.CallContract(ctx, ethereum.CallMsg{To: &token, Data: input}, nil)
	if err != nil {
		return fmt.Errorf("call token %s: %w", method, err)
	}
	if err := r.token.UnpackIntoInterface(out, method, ret); err != nil {
		return fmt.Errorf("call token %s: %w", method, err)
	}
	return nil
}

// Head returns the header of the newest block.
func (r *reader) Head(ctx context.Context) (*types.Header, error) {
	head, err := r.eth.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	return head, nil
}

// Transfers returns the token's Transfer events from a block on, oldest first, minting at genesis not included.
func (r *reader) Transfers(ctx context.Context, fromBlock uint64) ([]Transfer, error) {
	logs, err := r.eth.FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: new(big.Int).SetUint64(fromBlock),
		Addresses: []common.Address{TokenAddress},
		Topics:    [][]common.Hash{{r.token.Events["Transfer"].ID}},
	})
	if err != nil {
		return nil, fmt.Errorf("read transfers: %w", err)
	}
	transfers := make([]Transfer, 0, len(logs))
	for _, l := range logs {
		if len(l.Topics) != 3 {
			continue
		}
		transfers = append(transfers, Transfer{
			From:  common.BytesToAddress(l.Topics[1][:]),
			To:    common.BytesToAddress(l.Topics[2][:]),
			Value: new(big.Int).SetBytes(l.Data),
			Tx:    l.TxHash,
			Block: l.BlockNumber,
			Time:  l.BlockTimestamp,
		})
	}
	return transfers, nil
}
