#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# Does the simulation find a seed when a safeguard is gone? Each is taken out alone, in an overlay of the source that only the
# compiler sees, and worlds are played until one has a finding. A safeguard whose loss is not found fails this script, and so
# does a piece of source that is no longer where it was: then the place has to be named anew here.
#
# `scripts/safeguards.sh` does all, `scripts/safeguards.sh NAME...` those. SAFEGUARD_PURCHASES is the budget for each.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=${SAFEGUARD_PURCHASES:-6000}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# replace FILE writes FILE with the text $old, which must be in it once, replaced by $new, and prints where.
replace() {
	local file=$1 text rest
	text=$(<"$file")
	rest=${text#*"$old"}
	if [ "$rest" = "$text" ] || [ "${rest#*"$old"}" != "$rest" ]; then
		printf 'safeguards: the piece of %s is not there once:\n%s\n' "$file" "$old" >&2
		return 1
	fi
	mkdir -p "$scratch/$(dirname "$file")"
	printf '%s\n' "${text/"$old"/"$new"}" >"$scratch/$file"
}

# The safeguards: the file, what stands there, what stands there instead, and flags of the simulation.
save_before_broadcast() {
	file=payments/evm/prepare.go
	old='	if a.Seq, err = s.ledger.SaveAttempt(ctx, a); err != nil {'
	new='	if a.Seq = 1; err != nil {'
}
look_for_the_order() {
	file=market/table.go
	old='act: (*Market).createOrder, recover: (*Market).findOrder,'
	new='act: (*Market).createOrder,'
}
look_at_the_payment() {
	file=market/pay.go
	old='	if s, err := m.paidElsewhere(ctx, p); err != nil || s.event != "" {'
	new='	if s, err := m.paidElsewhere(ctx, p); err != nil || s.event != "" && false {'
	flags=(-sim.older)
}
reserve_with_the_check() {
	file=policy/guard.go
	old='	v, err := g.store.Reserve(ctx, req, d.query, d.verdict)'
	new='	v, err := g.Decide(ctx, req)
	if err != nil || !v.Allowed() {
		return v, err
	}
	v, err = g.store.Reserve(ctx, req, d.query, func(*State) Verdict { return v })'
}
one_nonce_per_purchase() {
	file=payments/x402.go
	old='Nonce: nonceOf(x.wallet.Address(), g.Purchase()),'
	new='Nonce: nonceOf(x.wallet.Address(), g.Purchase()+policy.PurchaseID(x.now().String())),'
	flags=(-sim.older)
}

all=(save_before_broadcast look_for_the_order look_at_the_payment reserve_with_the_check one_nonce_per_purchase)
[ $# -gt 0 ] || set -- "${all[@]}"
go test -c -o "$scratch/whole.test" ./internal/simulation
failed=0
for name; do
	flags=()
	"$name"
	replace "$file"
	printf '{"Replace": {"%s": "%s"}}\n' "$PWD/$file" "$scratch/$file" >"$scratch/overlay.json"
	began=$SECONDS
	go test -c -overlay "$scratch/overlay.json" -o "$scratch/simulation.test" ./internal/simulation
	if (cd internal/simulation && "$scratch/simulation.test" -test.run '^TestSimulation$' -sim.purchases="$budget" -sim.world=30 "${flags[@]}") >"$scratch/log" 2>&1; then
		printf '%-24s NOT FOUND in %d purchases\n' "$name" "$budget"
		failed=1
	elif ! grep -qE 'seed [0-9]+: \[' "$scratch/log"; then
		printf '%-24s the simulation broke:\n' "$name"
		tail -n 20 "$scratch/log"
		failed=1
	elif ! (cd internal/simulation && "$scratch/whole.test" -test.run '^TestSimulation$' -sim.seed="$(grep -m1 -oE 'seed [0-9]+: \[' "$scratch/log" | tr -dc 0-9)" \
		-sim.purchases=30 -sim.world=30 "${flags[@]}") >/dev/null 2>&1; then
		printf '%-24s the seed has findings with all safeguards in place too\n' "$name"
		failed=1
	else
		printf '%-24s found after %d s by %s\n' "$name" $((SECONDS - began)) "$(grep -m1 -oE 'seed [0-9]+: \[.{0,150}' "$scratch/log")"
	fi
done
exit $failed
