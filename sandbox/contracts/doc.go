// SPDX-License-Identifier: Apache-2.0

// Package contracts holds the sandbox's Solidity contracts and what solc makes of them.
//
// TestToken stands in for USDC, Escrow for an on-chain escrow. The artifacts beside the sources are written by scripts/contracts.sh;
// its --check proves that they are fresh. Nobody may put value into either contract: anyone can mint the token.
package contracts
