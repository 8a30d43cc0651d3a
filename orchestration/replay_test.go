// SPDX-License-Identifier: Apache-2.0

package orchestration

import (
	"context"
	"encoding/json"
	"strings"
)

// replay performs the call that a variant of a capture recorded.
type replay func(context.Context, *Client) (any, error)

const (
	testToken    = Secret("pairing-token-EXAMPLE")
	agentAddress = "0x1563915e194D8CfBA1943570603F7606A3115508"
	payeeAddress = "0x3333333333333333333333333333333333333333"
	tokenAddress = "0x4444444444444444444444444444444444444444"
)

var (
	signature = "0x" + strings.Repeat("ab", 65)
	txHash    = "0x" + strings.Repeat("cd", 32)
	agentDID  = "did:pkh:eip155:1:" + agentAddress
	page      = ListOptions{Limit: 50, Cursor: "cur_1"}

	delegation = DelegationPolicy{
		AllowedSkillKeys: []string{"pyth.price"}, DeniedSkillKeys: []string{"bad.skill"},
		AllowedServiceIDs: []string{"svc_0001"}, DeniedServiceIDs: []string{"svc_0666"},
		PerTransactionLimit: "5", DailySpendLimit: "50", Currency: "USD",
	}
	credentials = ProviderCredentials{
		Walrus:  &WalrusCredentials{PublisherURL: "https://p.example", AggregatorURL: "https://a.example", PublisherToken: "t"},
		Akash:   &AkashCredentials{ConsoleAPIKey: "k", ConsoleBaseURL: "https://c.example", RESTEndpoint: "https://r.example"},
		WorldID: &WorldIDCredentials{RPID: "r", AppID: "a", VerifyBaseURL: "https://v.example"},
		Geodnet: &GeodnetCredentials{AppID: "a", AppKey: "k", BaseURL: "https://g.example"},
		Aethir:  &AethirCredentials{AccessKey: "a", SecretKey: "s", BaseURL: "https://ae.example"},
	}
	createMachine = CreateMachineRequest{
		DisplayName: "Bench one", OwnerID: "owner-1", MachineType: "edge-node", RuntimeProfile: "linux-docker",
		IdentityRef: "did:peaq:184467", IdentityProof: Proof{"chal_0001", signature},
	}
	policyRequest = PolicyRequest{
		Name: "p", AllowedSkillKeys: []string{"a"}, DeniedSkillKeys: []string{"b"}, BudgetCap: &BudgetCap{"USD", "10"},
		RegionRules: []string{"eu"}, NativeOnly: new(true), HandoffAllowed: new(false), RequiredCapabilities: []string{"c"},
	}
	evmProof = PaymentProofRequest{
		VerificationMode: VerifyRecorded, Chain: "eip155:3338", Token: "USDT", PayerAddress: agentAddress, PayeeAddress: payeeAddress,
		Amount: "1.5",
	}
)

func one[T any](v T, err error) (any, error) { return v, err }

// with returns a changed copy.
func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// replays holds one call per capture and variant.
var replays = map[string]map[string]replay{
	"health": {"only": func(ctx context.Context, c *Client) (any, error) { return nil, c.Health(ctx) }},
	"readiness": {"only": func(ctx context.Context, c *Client) (any, error) {
		return one(c.Readiness(ctx))
	}},
	"machine-identity-challenge": {
		"did form": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreateIdentityChallenge(ctx, "did:peaq:184467"))
		},
		"alias form": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreateIdentityChallenge(ctx, "peaqos:machine:184467"))
		},
	},
	"machines-list": {
		"all optional": func(ctx context.Context, c *Client) (any, error) { return one(c.ListMachines(ctx, page)) },
		"none":         func(ctx context.Context, c *Client) (any, error) { return one(c.ListMachines(ctx, ListOptions{})) },
	},
	"machine-create": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreateMachine(ctx, with(createMachine, func(r *CreateMachineRequest) {
				r.Capabilities, r.PolicyIDs, r.SkillKeys = []string{"gpu"}, []string{"pol_0001"}, []string{"pyth.price"}
				r.Labels = map[string]string{"env": "test", "myLabel": "v"}
			})))
		},
		"none": func(ctx context.Context, c *Client) (any, error) { return one(c.CreateMachine(ctx, createMachine)) },
	},
	"machine-get": {"only": func(ctx context.Context, c *Client) (any, error) { return one(c.GetMachine(ctx, "mach_0001")) }},
	"machine-update": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdateMachine(ctx, "mach_0001", UpdateMachineRequest{
				DisplayName: "Bench two", Status: MachineActive, OwnerID: "owner-2", IdentityRef: "did:peaq:184467", MachineType: "robot",
				RuntimeProfile: "linux-native", Capabilities: []string{"cpu"}, Labels: map[string]string{"env": "prod"},
				PolicyIDs: []string{"pol_0001"}, SkillKeys: []string{"pyth.price"}, IdentityProof: &Proof{"chal_0001", signature},
			}))
		},
		"activate only": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdateMachine(ctx, "mach_0001", UpdateMachineRequest{Status: MachineActive}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdateMachine(ctx, "mach_0001", UpdateMachineRequest{}))
		},
	},
	"machine-archive": {"only": func(ctx context.Context, c *Client) (any, error) { return nil, c.ArchiveMachine(ctx, "mach_0001") }},
	"pairing-challenge": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreatePairingChallenge(ctx, "mach_0001", PairingChallengeRequest{agentAddress, "acme", "machine-market-buyer", agentDID}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreatePairingChallenge(ctx, "mach_0001", PairingChallengeRequest{agentAddress, "acme", "machine-market-buyer", ""}))
		},
	},
	"pairings-list": {
		"all optional": func(ctx context.Context, c *Client) (any, error) { return one(c.ListPairings(ctx, "mach_0001", page)) },
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListPairings(ctx, "mach_0001", ListOptions{}))
		},
	},
	"pairing-create": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return createPairing(ctx, c, agentDID, "buyer", &delegation)
		},
		"none": func(ctx context.Context, c *Client) (any, error) { return createPairing(ctx, c, "", "", nil) },
		"empty policy": func(ctx context.Context, c *Client) (any, error) {
			return createPairing(ctx, c, "", "", &DelegationPolicy{
				AllowedSkillKeys: []string{}, DeniedSkillKeys: []string{}, AllowedServiceIDs: []string{}, DeniedServiceIDs: []string{},
			})
		},
	},
	"pairing-session": {"only": func(ctx context.Context, c *Client) (any, error) {
		return one(c.CreatePairingSession(ctx, "mach_0001", "pair_0001", Proof{"chal_0002", signature}))
	}},
	"pairing-update": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdatePairing(ctx, "mach_0001", "pair_0001", UpdatePairingRequest{
				AgentProvider: "acme", AgentRole: "ops", Description: new("d"), Status: PairingPaused, DelegationPolicy: &delegation,
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdatePairing(ctx, "mach_0001", "pair_0001", UpdatePairingRequest{}))
		},
	},
	"pairing-revoke": {"only": func(ctx context.Context, c *Client) (any, error) {
		return nil, c.RevokePairing(ctx, "mach_0001", "pair_0001")
	}},
	"agents-list": {"only": func(ctx context.Context, c *Client) (any, error) { return one(c.ListAgents(ctx, "mach_0001")) }},
	"agent-enroll": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.EnrollAgent(ctx, "mach_0001", EnrollAgentRequest{Label: "runtime one", AllowedProviderKeys: []string{"qvac"}}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.EnrollAgent(ctx, "mach_0001", EnrollAgentRequest{}))
		},
	},
	"agent-revoke": {"only": func(ctx context.Context, c *Client) (any, error) {
		return nil, c.RevokeAgent(ctx, "mach_0001", "agent_0001")
	}},
	"agent-heartbeat": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return heartbeat(ctx, c, 90, HeartbeatEndpoint{
				Label: "lab", AuthType: EndpointAuthBearer, AuthToken: "endpoint-secret-EXAMPLE", ModelAlias: "m",
				NetworkScope: ScopeLoopback, ProbePath: "/v1/models",
			})
		},
		"none": func(ctx context.Context, c *Client) (any, error) { return heartbeat(ctx, c, 0, HeartbeatEndpoint{}) },
	},
	"runtime-endpoints-list": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListRuntimeEndpoints(ctx, "mach_0001", page))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListRuntimeEndpoints(ctx, "mach_0001", ListOptions{}))
		},
	},
	"runtime-endpoint-get": {"only": func(ctx context.Context, c *Client) (any, error) {
		return one(c.GetRuntimeEndpoint(ctx, "mach_0001", "qvac"))
	}},
	"runtime-endpoint-put": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.PutRuntimeEndpoint(ctx, "mach_0001", "qvac", PutRuntimeEndpointRequest{
				EndpointBaseURL: "http://127.0.0.1:11434", Label: "QVAC", AuthType: EndpointAuthBearer, AuthToken: "endpoint-secret-EXAMPLE",
				ModelAlias: "m", NetworkScope: ScopeLoopback, ProbePath: "/v1/models", Status: EndpointActive,
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.PutRuntimeEndpoint(ctx, "mach_0001", "qvac", PutRuntimeEndpointRequest{EndpointBaseURL: "http://127.0.0.1:11434"}))
		},
	},
	"runtime-endpoint-delete": {"only": func(ctx context.Context, c *Client) (any, error) {
		return nil, c.DeleteRuntimeEndpoint(ctx, "mach_0001", "qvac")
	}},
	"skills-list": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListSkills(ctx, SkillQuery{Scope: "core-product", Direction: "machine-consumes", Source: "peaq"}, page))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListSkills(ctx, SkillQuery{}, ListOptions{}))
		},
	},
	"skill-get": {"only": func(ctx context.Context, c *Client) (any, error) { return one(c.GetSkill(ctx, "pyth.price")) }},
	"skill-manifest": {"only": func(ctx context.Context, c *Client) (any, error) {
		return one(c.GetSkillManifest(ctx, "pyth.price"))
	}},
	"skill-config": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdateSkillConfig(ctx, "pyth.price", UpdateSkillConfigRequest{
				Enabled: new(true), Credentials: map[string]Secret{"apiKey": "example-not-a-secret"},
				Settings: json.RawMessage(`{"maxRetries":3,"fast":true}`),
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdateSkillConfig(ctx, "pyth.price", UpdateSkillConfigRequest{}))
		},
	},
	"services-list": {
		"all optional, pairing": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListServices(ctx, testToken, ServiceQuery{"mach_0001", ServicePriceFeed, ExecutionNative, "pyth"}, page))
		},
		"none, platform": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListServices(ctx, "", ServiceQuery{}, ListOptions{}))
		},
	},
	"service-get": {
		"all optional, pairing": func(ctx context.Context, c *Client) (any, error) {
			return one(c.GetService(ctx, testToken, "svc_0001", "mach_0001"))
		},
		"none, platform": func(ctx context.Context, c *Client) (any, error) {
			return one(c.GetService(ctx, "", "svc_0001", ""))
		},
	},
	"service-execute": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ExecuteService(ctx, testToken, "svc_0001", ExecuteServiceRequest{
				MachineID: "mach_0001", AgentPairingID: "pair_0001", Operation: "read-blob", Input: json.RawMessage(`{"blobId":"b1","snake_key":1}`),
				Budget: &OrderBudget{"1", "2", "USD"}, ProviderCredentials: &credentials,
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ExecuteService(ctx, testToken, "svc_0001", ExecuteServiceRequest{
				MachineID: "mach_0001", AgentPairingID: "pair_0001", Operation: "read-blob",
			}))
		},
	},
	"search-create": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.Search(ctx, testToken, SearchRequest{
				MachineID: "mach_0001", AgentPairingID: "pair_0001", ServiceType: ServicePriceFeed, Operation: "get-latest-price",
				RequiredCapabilities: []string{"price"}, Region: "global", MaxResults: 10, AllowExternalHandoff: new(true),
				RequireNativeExecution: new(false), Budget: &SearchBudget{"5", "2", "1", "USD"}, ProviderCredentials: &credentials,
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.Search(ctx, testToken, SearchRequest{}))
		},
	},
	"search-get": {"only": func(ctx context.Context, c *Client) (any, error) { return one(c.GetSearch(ctx, "srch_0001")) }},
	"orders-list": {
		"all optional": func(ctx context.Context, c *Client) (any, error) { return one(c.ListOrders(ctx, "mach_0001", page)) },
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListOrders(ctx, "mach_0001", ListOptions{}))
		},
	},
	"order-create": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreateOrder(ctx, testToken, CreateOrderRequest{
				MachineID: "mach_0001", AgentPairingID: "pair_0001", ServiceID: "svc_0001", SearchID: "srch_0001", QuoteID: "quote_0001",
				Operation: "get-latest-price", Input: json.RawMessage(`{"symbolName":"BTC/USD","snake_key":{"inner_key":1}}`),
				Budget: &OrderBudget{"2", "3", "USDT"}, ProviderCredentials: &credentials,
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreateOrder(ctx, testToken, CreateOrderRequest{MachineID: "mach_0001", AgentPairingID: "pair_0001", ServiceID: "svc_0001"}))
		},
	},
	"order-get": {
		"pairing":  func(ctx context.Context, c *Client) (any, error) { return one(c.GetOrder(ctx, testToken, "ord_0001")) },
		"platform": func(ctx context.Context, c *Client) (any, error) { return one(c.GetOrder(ctx, "", "ord_0001")) },
	},
	"payment-intent": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreatePaymentIntent(ctx, testToken, "ord_0001", PaymentIntentRequest{Amount: "1.5", Currency: "USDT", Rail: &RailRequest{
				Type: RailWDKUSDTTransfer, Chain: "eip155:3338", Token: "USDT", TokenAddress: tokenAddress,
				TokenMint: "So11111111111111111111111111111111111111112", EscrowAddress: payeeAddress, ExternalURL: "https://pay.example/x",
				Provider: "acme-pay", AccountID: "acct_1", WalletAddress: payeeAddress, PayerAddress: agentAddress, PayeeAddress: payeeAddress,
				PaymentIntentID: "pi_1", Metadata: json.RawMessage(`{"rawAmount":"1500000"}`),
			}}))
		},
		"as the CLI sends it": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreatePaymentIntent(ctx, testToken, "ord_0001", PaymentIntentRequest{Rail: &RailRequest{
				Type: RailWDKUSDTTransfer, Chain: "eip155:3338", Token: "USDT", TokenAddress: tokenAddress,
				WalletAddress: payeeAddress, PayerAddress: agentAddress, PayeeAddress: payeeAddress,
			}}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreatePaymentIntent(ctx, testToken, "ord_0001", PaymentIntentRequest{}))
		},
	},
	"payment-intent-x402": {"as the CLI sends it": func(ctx context.Context, c *Client) (any, error) {
		return one(c.CreatePaymentIntent(ctx, testToken, "ord_0001", PaymentIntentRequest{Rail: &RailRequest{Type: RailX402}}))
	}},
	"payment-get": {"only": func(ctx context.Context, c *Client) (any, error) { return one(c.GetPayment(ctx, "ord_0001")) }},
	"payment-proof-evm": {
		"all optional, rpc": func(ctx context.Context, c *Client) (any, error) {
			return submitTransfer(ctx, c, VerifyRPC, json.RawMessage(`{"noteText":"x"}`))
		},
		"as the CLI sends it, recorded": func(ctx context.Context, c *Client) (any, error) {
			return submitTransfer(ctx, c, VerifyRecorded, nil)
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.SubmitPaymentProof(ctx, testToken, "ord_0001", evmProof))
		},
	},
	"payment-proof-solana": {"as the CLI sends it": func(ctx context.Context, c *Client) (any, error) {
		return one(c.SubmitPaymentProof(ctx, testToken, "ord_0001", PaymentProofRequest{
			VerificationMode: VerifyRecorded, Chain: "solana:mainnet", Token: "USDT", PayerAddress: "PayerBase58Example",
			PayeeAddress: "PayeeBase58Example", Amount: "1.5", TransactionSignature: "SignatureBase58Example", TokenMint: "MintBase58Example",
		}))
	}},
	"payment-proof-x402": {
		"all optional, as the CLI sends it": func(ctx context.Context, c *Client) (any, error) {
			return one(c.SubmitX402Proof(ctx, testToken, "ord_0001", X402ProofRequest{
				PaymentSignature: "eyJleGFtcGxlIjoidHJ1ZSJ9", PaymentReference: "x402:eip155:8453:0123456789abcdef01234567",
				Metadata: json.RawMessage(`{"headerName":"PAYMENT-SIGNATURE","network":"eip155:8453","asset":"` + tokenAddress + `","amount":"10000","serviceId":"svc_0001"}`),
			}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.SubmitX402Proof(ctx, testToken, "ord_0001", X402ProofRequest{PaymentSignature: "eyJleGFtcGxlIjoidHJ1ZSJ9"}))
		},
	},
	"escrow-lock": {"only": func(ctx context.Context, c *Client) (any, error) {
		return one(c.LockEscrow(ctx, testToken, "ord_0001", EscrowLockRequest{txHash, "eip155:3338", payeeAddress}))
	}},
	"payment-release": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ReleasePayment(ctx, testToken, "ord_0001", &ReleaseRequest{txHash, "done"}))
		},
		"empty request object": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ReleasePayment(ctx, testToken, "ord_0001", &ReleaseRequest{}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ReleasePayment(ctx, testToken, "ord_0001", nil))
		},
	},
	"payment-refund": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.RefundPayment(ctx, testToken, "ord_0001", &RefundRequest{txHash, "not delivered"}))
		},
		"empty request object": func(ctx context.Context, c *Client) (any, error) {
			return one(c.RefundPayment(ctx, testToken, "ord_0001", &RefundRequest{}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.RefundPayment(ctx, testToken, "ord_0001", nil))
		},
	},
	"order-execute-native": {
		"all optional, x402": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ExecuteOrder(ctx, testToken, "ord_0001", ExecuteRequest{
				Input: json.RawMessage(`{"symbolName":"BTC/USD","snake_key":1}`), PaymentSignature: "eyJleGFtcGxlIjoidHJ1ZSJ9",
			}))
		},
		"none": execute,
	},
	"order-execute-handoff": {"none": execute},
	"order-confirm": {"only": func(ctx context.Context, c *Client) (any, error) {
		return one(c.ConfirmOrder(ctx, testToken, "ord_0001"))
	}},
	"order-dispute": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.DisputeOrder(ctx, testToken, "ord_0001", DisputeRequest{"bad result", json.RawMessage(`{"noteText":"x","logLines":["a"]}`)}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.DisputeOrder(ctx, testToken, "ord_0001", DisputeRequest{Reason: "bad result"}))
		},
	},
	"policies-list": {"only": func(ctx context.Context, c *Client) (any, error) { return one(c.ListPolicies(ctx)) }},
	"policy-create": {
		"all optional": func(ctx context.Context, c *Client) (any, error) { return one(c.CreatePolicy(ctx, policyRequest)) },
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.CreatePolicy(ctx, PolicyRequest{Name: "p"}))
		},
	},
	"policy-update": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdatePolicy(ctx, "pol_0001", policyRequest))
		},
		"none": func(ctx context.Context, c *Client) (any, error) {
			return one(c.UpdatePolicy(ctx, "pol_0001", PolicyRequest{}))
		},
	},
	"audit-events-list": {
		"all optional": func(ctx context.Context, c *Client) (any, error) {
			return one(c.ListAuditEvents(ctx, AuditQuery{MachineID: "mach_0001", ResourceType: "order", Limit: 50}))
		},
		"none": func(ctx context.Context, c *Client) (any, error) { return one(c.ListAuditEvents(ctx, AuditQuery{})) },
	},
}

func createPairing(ctx context.Context, c *Client, did, description string, policy *DelegationPolicy) (any, error) {
	return one(c.CreatePairing(ctx, "mach_0001", CreatePairingRequest{
		AgentAddress: agentAddress, AgentProvider: "acme", AgentRole: "machine-market-buyer", AgentProof: Proof{"chal_0002", signature},
		AgentDID: did, Description: description, DelegationPolicy: policy,
	}))
}

func heartbeat(ctx context.Context, c *Client, lease int, e HeartbeatEndpoint) (any, error) {
	e.ProviderKey, e.EndpointBaseURL = "qvac", "http://127.0.0.1:11434"
	return one(c.Heartbeat(ctx, HeartbeatRequest{
		MachineID: "mach_0001", AgentID: "agent_0001", Token: "provisioning-token-EXAMPLE",
		Endpoints: []HeartbeatEndpoint{e}, LeaseTTLSeconds: lease,
	}))
}

func submitTransfer(ctx context.Context, c *Client, mode VerificationMode, metadata json.RawMessage) (any, error) {
	return one(c.SubmitPaymentProof(ctx, testToken, "ord_0001", with(evmProof, func(r *PaymentProofRequest) {
		r.VerificationMode, r.TransactionHash, r.TokenAddress = mode, txHash, tokenAddress
		r.TokenDecimals, r.RawAmount, r.Metadata = new(6), "1500000", metadata
	})))
}

func execute(ctx context.Context, c *Client) (any, error) {
	return one(c.ExecuteOrder(ctx, testToken, "ord_0001", ExecuteRequest{}))
}
