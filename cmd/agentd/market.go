// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/agentd-project/agentd/admin"
)

type marketCmd struct {
	Kind        string `arg:"" enum:"services,skills,searches,orders,order,policies,audit,endpoints,agents,pairings,readiness" help:"What to read: services, skills, searches, orders, order, policies, audit, endpoints, agents, pairings or readiness."`
	ID          string `arg:"" optional:"" help:"One record; needed for order and searches."`
	Limit       int    `help:"At most so many records, 1 to 500." default:"100"`
	ServiceType string `help:"Only services of this type." placeholder:"TYPE"`
	Provider    string `help:"Only services of this provider." placeholder:"KEY"`
	JSON        bool   `name:"json" help:"Print JSON, with every member that the Market sent."`
}

// Run reads records of the Market.
func (c *marketCmd) Run(ctx context.Context, con *console, o *options) error {
	raw, err := con.client(o).Market(ctx, admin.MarketQuery{
		Kind: admin.MarketKind(c.Kind), ID: c.ID, Limit: c.Limit, ServiceType: c.ServiceType, Provider: c.Provider,
	})
	if err != nil {
		return err
	}
	records, ok := asRecords(raw)
	if c.JSON || !ok {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, raw, "", "  "); err != nil {
			return fail(exitFailure, "the Market's records cannot be read: %s", err)
		}
		return con.say(pretty.String())
	}
	if len(records) == 0 {
		return con.say("no " + c.Kind)
	}
	columns := columnsOf(admin.MarketKind(c.Kind))
	t := newTable(con.out, columnHeads(columns)...)
	for _, r := range records {
		cells := make([]string, len(columns))
		for i, column := range columns {
			cells[i] = cellOf(r, column)
		}
		t.row(cells...)
	}
	return t.flush()
}

// asRecords returns the objects of an array; one object is no list.
func asRecords(raw json.RawMessage) ([]map[string]json.RawMessage, bool) {
	var records []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &records); err != nil {
		return nil, false
	}
	return records, true
}

// columnsOf names the members that a table shows; a dot leads into an object.
func columnsOf(kind admin.MarketKind) []string {
	switch kind {
	case admin.MarketServices:
		return []string{"id", "name", "serviceType", "providerKey", "executionMode", "integrationStatus"}
	case admin.MarketSkills:
		return []string{"key", "label", "providerKey", "direction", "authState", "maturity"}
	case admin.MarketOrders:
		return []string{"id", "status", "serviceId", "operation", "payment.defaultRail", "createdAt"}
	case admin.MarketPolicies:
		return []string{"id", "name", "nativeOnly", "handoffAllowed", "updatedAt"}
	case admin.MarketAudit:
		return []string{"createdAt", "actor", "type", "resourceType", "resourceId"}
	case admin.MarketEndpoints:
		return []string{"providerKey", "endpointBaseUrl", "status", "source", "leaseExpiresAt"}
	case admin.MarketAgents:
		return []string{"id", "label", "status", "lastSeenAt", "createdAt"}
	case admin.MarketPairings:
		return []string{"id", "status", "agentAddress", "agentProvider", "agentRole", "sessionExpiresAt"}
	default:
		return []string{"id", "status", "createdAt"}
	}
}

func columnHeads(columns []string) []string {
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c[strings.LastIndex(c, ".")+1:]
	}
	return heads
}

// cellOf returns a member as text.
func cellOf(record map[string]json.RawMessage, column string) string {
	head, tail, nested := strings.Cut(column, ".")
	raw := record[head]
	if nested {
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) != nil {
			return ""
		}
		return cellOf(inner, tail)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
