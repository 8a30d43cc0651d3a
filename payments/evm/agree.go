// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
)

// restEndpoint is how long an endpoint that did not work is not asked for its
// opinion, lest each decision waits for it.
const restEndpoint = 30 * time.Second

// agreed asks the other endpoints about a receipt on which a decision would rest,
// nil for none. One that tells of another block or result contradicts; one that
// does not answer, or does not know the transaction (yet), has no opinion. The
// error wraps [ErrDisagree].
func (c *Chain) agreed(ctx context.Context, hash common.Hash, seen *types.Receipt) error {
	current := int(c.current.Load())
	for i, e := range c.endpoints {
		if i == current || time.Since(time.Unix(0, e.failed.Load())) < restEndpoint {
			continue
		}
		var other *types.Receipt
		err := c.try(ctx, i, "eth_getTransactionReceipt", func(ctx context.Context, client *ethclient.Client) (err error) {
			other, err = client.TransactionReceipt(ctx, hash)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || other.TxHash != hash:
			continue
		case seen == nil:
			err = fmt.Errorf("%w: %s is in block %s", ErrDisagree, hash, other.BlockHash)
		case other.BlockHash != seen.BlockHash:
			err = fmt.Errorf("%w: %s is in block %s or in %s", ErrDisagree, hash, seen.BlockHash, other.BlockHash)
		case other.Status != seen.Status:
			err = fmt.Errorf("%w: %s has the result %d or %d", ErrDisagree, hash, seen.Status, other.Status)
		default:
			continue
		}
		c.observe(OutcomeDisagree)
		return &Error{Action: ActionAbsent, Method: "eth_getTransactionReceipt", Cause: err}
	}
	return nil
}
