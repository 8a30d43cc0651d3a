// SPDX-License-Identifier: Apache-2.0

// Package wallet holds one secp256k1 key and signs, each by its own typed
// function, the few kinds of thing that agentd ever signs.
//
// [Load] opens a keystore v3 file and [FromPrivateKey] a key in hexadecimal;
// [New] and [Import] write keystore files. [CheckChallenge] turns the Market's
// reply into a [Challenge], the only thing that [Wallet.SignChallenge] takes.
// [Wallet.SignTransfer], [Wallet.SignAuthorization], [Wallet.SignApprove],
// [Wallet.SignLock], [Wallet.SignRelease] and [Wallet.SignRefund] need a
// [policy.Grant]. [Wallet.SignCancel] takes a nonce and moves nothing.
// [ParseEscrowABI] reads the interface of an escrow contract.
//
// Invariants: there is no function that signs given bytes; the zero Challenge
// and the zero Grant are refused; what moves value equals its Grant in chain,
// token, receiver and amount; no allowance is signed but that of a granted lock,
// of exactly its amount; of an escrow contract's methods every argument is known
// and is the Grant's; neither key nor passphrase is in an error, in a
// printed Wallet or in its JSON.
//
// It does no network traffic, keeps no nonce and does not decide whether
// something may be bought: that is package policy.
package wallet
