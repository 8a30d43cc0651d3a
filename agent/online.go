// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/orchestration"
	"github.com/agentd-project/agentd/payments/evm"
)

// onlineLimit bounds one question of [CheckOnline].
const onlineLimit = 20 * time.Second

// Check is the result of one question of [CheckOnline].
type Check struct {
	// Name says what was checked, such as "market" or "chain eip155:3338 token USDT".
	Name string
	// Detail is what was found, one sentence without a secret.
	Detail string
	// Err is what is wrong, nil if nothing is.
	Err error
}

// CheckOnline asks the Market and the chains whether the configuration can work:
// the Market's readiness and its clock, the platform key where it is demanded,
// the machine's record, the agent's key, each endpoint's chain id, each token's
// decimals and domain, and the balances. It changes and spends nothing. Of the
// options it uses Config, Version and HTTPTransport.
func CheckOnline(ctx context.Context, opt Options) []Check {
	cfg := opt.Config
	transport, err := transportOf(opt.HTTPTransport, cfg.Orchestration.CAFile)
	if err != nil {
		return []Check{{Name: "transport", Err: err}}
	}
	o := &online{cfg: cfg, clock: newClock()}
	o.checkMarket(ctx, opt, transport)
	key, err := openKey(cfg.Keys.ByName(cfg.Pairing.Key))
	if err != nil {
		o.add("agent key", "", err)
		return o.checks
	}
	o.add("agent key", key.Address().Hex(), nil)
	for i := range cfg.Chains {
		o.checkChain(ctx, &cfg.Chains[i], transport, key.Address())
	}
	return o.checks
}

// online collects the checks.
type online struct {
	cfg    *config.Config
	clock  *clock
	checks []Check
}

func (o *online) add(name, detail string, err error) {
	o.checks = append(o.checks, Check{Name: name, Detail: detail, Err: err})
}

func (o *online) checkMarket(ctx context.Context, opt Options, transport http.RoundTripper) {
	key, err := platformKey(o.cfg)
	if err != nil {
		o.add("platform key", "", err)
		return
	}
	api, err := orchestration.New(orchestration.Config{
		BaseURL: o.cfg.Orchestration.URL, APIKey: key, Version: opt.Version, AllowHTTP: o.cfg.Orchestration.AllowHTTP,
		HTTPClient: &http.Client{Transport: &dateReader{next: transport, clock: o.clock}},
	})
	if err != nil {
		o.add("market", "", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	o.checkReadiness(ctx, api)
	o.checkPlatformKey(ctx, api, key)
	o.checkMachine(ctx, api)
}

func (o *online) checkReadiness(ctx context.Context, api *orchestration.Client) {
	r, err := api.Readiness(ctx)
	if err != nil {
		o.add("market", "", err)
		return
	}
	var failing []string
	for _, c := range r.Checks {
		if c.Status == orchestration.CheckFail {
			failing = append(failing, strings.TrimSpace(c.Name+" "+c.Message))
		}
	}
	if r.Status != orchestration.StatusReady {
		err = fmt.Errorf("the Market is %s: %s", r.Status, strings.Join(failing, "; "))
	}
	o.add("market", string(r.Status), err)
	if trusted, skew := o.clock.judge(time.Now()); !trusted {
		o.add("clock", "", fmt.Errorf("the local clock differs from the Market's by %s, at most %s is trusted", skew.Round(time.Second), clockBound))
	} else {
		o.add("clock", fmt.Sprintf("within %s of the Market's", max(skew.Abs().Round(time.Second), time.Second)), nil)
	}
}

// checkPlatformKey makes one call that the Market may want the key for.
func (o *online) checkPlatformKey(ctx context.Context, api *orchestration.Client, key orchestration.Secret) {
	_, err := api.ListMachines(ctx, orchestration.ListOptions{Limit: 1})
	switch codeOf(err) {
	case orchestration.CodeAuthRequired:
		err = errors.New("the Market demands a platform key and orchestration.api_key_file is not set")
	case orchestration.CodeAuthInvalid:
		err = errors.New("the Market refuses the platform key")
	}
	detail := "accepted"
	if key == "" {
		detail = "none, and none is demanded"
	}
	o.add("platform key", detail, err)
}

func (o *online) checkMachine(ctx context.Context, api *orchestration.Client) {
	if o.cfg.Machine.ID == "" {
		return // found or registered by its identity once the daemon runs
	}
	m, err := api.GetMachine(ctx, o.cfg.Machine.ID)
	if err != nil {
		o.add("machine "+o.cfg.Machine.ID, "", err)
		return
	}
	want := canonicalOf(o.cfg.Machine.IdentityRef)
	switch {
	case want != "" && m.IdentityRef != "" && !strings.EqualFold(want, m.IdentityRef):
		err = errOtherIdentity
	case m.Status != orchestration.MachineActive:
		err = fmt.Errorf("its record is %s, not active", m.Status)
	}
	o.add("machine "+m.ID, string(m.Status), err)
}

func (o *online) checkChain(ctx context.Context, c *config.Chain, transport http.RoundTripper, account common.Address) {
	name := "chain " + string(c.ID)
	chain, err := dialChain(c, evm.Config{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		o.add(name, "", err)
		return
	}
	defer chain.Close()
	ctx, cancel := context.WithTimeout(ctx, onlineLimit)
	defer cancel()
	for i, err := range chain.VerifyEndpoints(ctx) {
		o.add(fmt.Sprintf("%s endpoint %d", name, i+1), "serves the chain", err)
	}
	if head, err := chain.Head(ctx); err != nil {
		o.add(name+" head", "", err)
	} else {
		o.add(name+" head", fmt.Sprintf("block %d of %s", head.Number, head.Time.Format(time.RFC3339)), nil)
	}
	for i, t := range chain.Tokens() {
		o.add(name+" token "+t.Symbol, fmt.Sprintf("%d decimals", t.Decimals), chain.VerifyToken(ctx, t))
		amount, err := chain.TokenBalance(ctx, t.Address, account)
		o.addBalance(name+" balance "+t.Symbol, amount, c.Tokens[i].LowBalance, t.Decimals, err)
	}
	wei, err := chain.GasBalance(ctx, account)
	o.addBalance(name+" balance "+gasAsset, wei, c.Gas.LowBalance, gasDecimals, err)
}

func (o *online) addBalance(name string, have, mark money.Amount, decimals uint8, err error) {
	if err == nil && have.Cmp(mark) < 0 {
		err = fmt.Errorf("%s is below the low mark of %s", have.Format(decimals), mark.Format(decimals))
	}
	o.add(name, have.Format(decimals), err)
}
