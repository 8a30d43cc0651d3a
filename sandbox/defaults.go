// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"

	"github.com/agentd-project/agentd/money"
)

// DefaultServices returns one offer per rail and one handoff. Each has an operation of its own, so that a search can pick it.
func DefaultServices() []Service {
	services := []Service{
		offer("oracle.price-feed", "latest-price", 0, "not-required").
			with("price", `{"pair":"PEAQ/USD"}`, "pair", "price at"),
		offer("storage.object", "put", 20_000, "wallet", "wdk-usdt-transfer").
			with("storage", `{"name":"log.txt","content":"hello"}`, "name content", "blobId size storedAt"),
		offer("compute.marketplace", "run", 50_000, "wdk-usdt-transfer").
			with("compute", `{"image":"sum:1","args":["1","2"]}`, "image args", "jobId status output"),
		offer("data.location", "fix", 10_000, "x402").
			with("location", `{"receiver":"base-1"}`, "receiver", "latitude longitude accuracyMetres at"),
		offer("identity.proof-of-person", "verify", 0, "not-required").handingOffTo("https://partner.example/verify"),
		offer("device.control", "open-door", 100_000, "escrow").
			with("device", `{"device":"door-1"}`, "device", "device state at"),
		offer("device.control", "charge", 150_000, "onchain-escrow").
			with("device", `{"device":"charger-1"}`, "device", "device state at"),
		offer("machine.commerce", "log-delivery", 30_000, "offchain-record").
			with("record", `{"note":"pallet 7"}`, "note", "recordId at"),
		offer("machine.commerce", "invoice", 40_000, "external").
			with("record", `{"note":"invoice 12"}`, "note", "recordId at"),
		offer("network.partner-console", "subscribe", 60_000, "vault-stripe").
			with("record", `{"note":"plan a"}`, "note", "recordId at"),
		offer("network.partner-console", "stream", 70_000, "xvv42", "mpp").
			with("record", `{"note":"channel 1"}`, "note", "recordId at"),
	}
	sellers := defaultSellers(len(services))
	for i := range services {
		services[i].Payee = sellers[i].address
	}
	return services
}

// offer starts a service; the price is in millionths.
func offer(serviceType, operation string, price money.Value, rails ...string) Service {
	return Service{SkillKey: "sandbox." + operation, ProviderKey: "sandbox-" + operation, ProviderLabel: "Sandbox " + operation,
		ServiceType: serviceType, Operation: operation, Name: operation, Description: "sandbox provider of " + operation, Price: price,
		Rails: rails, Capabilities: []string{"sandbox", operation}}
}

// with adds the contract of the operation; the keys of inputs and outputs are separated by a space.
func (s Service) with(schema, example, inputs, outputs string) Service {
	s.Schema, s.ExampleInput = schema, json.RawMessage(example)
	s.Inputs, s.Outputs = fields(inputs), fields(outputs)
	return s
}

func (s Service) handingOffTo(url string) Service {
	s.HandoffURL = url
	return s
}
