// SPDX-License-Identifier: Apache-2.0

package orchestration

// The enumerations of the API are open: a value outside the constants is kept as
// it came and can be sent. The constants are those of the API reference.

// MachineStatus is the state of a machine record.
type MachineStatus string

// States of a machine record. Only an active machine can buy.
const (
	MachineDraft    MachineStatus = "draft"
	MachineActive   MachineStatus = "active"
	MachineDegraded MachineStatus = "degraded"
	MachineBlocked  MachineStatus = "blocked"
	MachineArchived MachineStatus = "archived"
)

// PairingStatus is the state of an agent pairing.
type PairingStatus string

// States of a pairing. Revoked is final.
const (
	PairingActive  PairingStatus = "active"
	PairingPaused  PairingStatus = "paused"
	PairingRevoked PairingStatus = "revoked"
)

// AgentStatus is the state of a machine agent.
type AgentStatus string

// States of a machine agent. The first heartbeat makes it active.
const (
	AgentProvisioned AgentStatus = "provisioned"
	AgentActive      AgentStatus = "active"
	AgentRevoked     AgentStatus = "revoked"
)

// VerificationMethod is how a signature was or is to be verified.
type VerificationMethod string

// MethodEIP191 is the personal_sign text signature of EIP-191.
const MethodEIP191 VerificationMethod = "eip191"

// EndpointSource says who registered a runtime endpoint.
type EndpointSource string

// Sources of a runtime endpoint.
const (
	SourceManual EndpointSource = "manual"
	SourceAgent  EndpointSource = "agent"
)

// EndpointAuth is how a runtime endpoint authenticates its callers.
type EndpointAuth string

// Ways of authentication at a runtime endpoint.
const (
	EndpointAuthNone   EndpointAuth = "none"
	EndpointAuthAPIKey EndpointAuth = "api-key"
	EndpointAuthBearer EndpointAuth = "bearer"
)

// NetworkScope says from where a runtime endpoint can be reached.
type NetworkScope string

// Scopes of a runtime endpoint.
const (
	ScopeLoopback NetworkScope = "loopback"
	ScopeLAN      NetworkScope = "lan"
	ScopeVPN      NetworkScope = "vpn"
	ScopePublic   NetworkScope = "public"
)

// EndpointStatus is the health of a runtime endpoint.
type EndpointStatus string

// Health of a runtime endpoint.
const (
	EndpointActive      EndpointStatus = "active"
	EndpointDegraded    EndpointStatus = "degraded"
	EndpointUnreachable EndpointStatus = "unreachable"
)

// ServiceType is the kind of a market service.
type ServiceType string

// Kinds of market service. A search also takes the short aliases of the API
// (storage, compute, identity, location, rtk, gnss, defi, commerce).
const (
	ServicePriceFeed         ServiceType = "oracle.price-feed"
	ServiceComputeMarket     ServiceType = "compute.marketplace"
	ServiceObjectStorage     ServiceType = "storage.object"
	ServiceLocation          ServiceType = "data.location"
	ServicePartnerConsole    ServiceType = "network.partner-console"
	ServiceProofOfPersonhood ServiceType = "identity.proof-of-person"
	ServiceDeviceControl     ServiceType = "device.control"
	ServiceMachineCommerce   ServiceType = "machine.commerce"
)

// ExecutionMode says whether the platform runs a service or hands it off.
type ExecutionMode string

// Execution modes.
const (
	ExecutionNative  ExecutionMode = "native"
	ExecutionHandoff ExecutionMode = "external-handoff"
)

// IntegrationStatus says how ready a service or skill is for use.
type IntegrationStatus string

// Integration states.
const (
	IntegrationNative              IntegrationStatus = "native"
	IntegrationCredentialsRequired IntegrationStatus = "credentials-required"
	IntegrationPartnerRequired     IntegrationStatus = "partner-required"
	IntegrationLocalConfigRequired IntegrationStatus = "local-config-required"
	IntegrationSetupRequired       IntegrationStatus = "setup-required"
	IntegrationDocsOnly            IntegrationStatus = "docs-only"
)

// RailType names a way to pay.
type RailType string

// Rails. MPP is the name of one documentation page for what the released client
// calls xvv42.
const (
	RailNotRequired     RailType = "not-required"
	RailWallet          RailType = "wallet"
	RailXVV42           RailType = "xvv42"
	RailMPP             RailType = "mpp"
	RailX402            RailType = "x402"
	RailVaultStripe     RailType = "vault-stripe"
	RailEscrow          RailType = "escrow"
	RailOffchainRecord  RailType = "offchain-record"
	RailExternal        RailType = "external"
	RailOnchainEscrow   RailType = "onchain-escrow"
	RailWDKUSDTTransfer RailType = "wdk-usdt-transfer"
)

// OrderStatus is the state of an order.
type OrderStatus string

// States of an order.
const (
	OrderCreated        OrderStatus = "created"
	OrderPaymentPending OrderStatus = "payment_pending"
	OrderReady          OrderStatus = "ready"
	OrderExecuting      OrderStatus = "executing"
	OrderDelivered      OrderStatus = "delivered"
	OrderConfirmed      OrderStatus = "confirmed"
	OrderDisputed       OrderStatus = "disputed"
	OrderCancelled      OrderStatus = "cancelled"
	OrderFailed         OrderStatus = "failed"
	OrderHandoff        OrderStatus = "handoff"
)

// PaymentStatus is the state of an order's payment record.
type PaymentStatus string

// States of a payment. Note not_required here and [RailNotRequired] with a
// hyphen: both spellings are the API's.
const (
	PaymentNotRequired    PaymentStatus = "not_required"
	PaymentIntentCreated  PaymentStatus = "intent_created"
	PaymentHeld           PaymentStatus = "held"
	PaymentReleasePending PaymentStatus = "release_pending"
	PaymentReleased       PaymentStatus = "released"
	PaymentFrozen         PaymentStatus = "frozen"
	PaymentRefunded       PaymentStatus = "refunded"
)

// OutcomeStatus is the state of a run and of its outcome.
type OutcomeStatus string

// States of a run and of an outcome.
const (
	OutcomeCompleted OutcomeStatus = "completed"
	OutcomeFailed    OutcomeStatus = "failed"
	OutcomeExternal  OutcomeStatus = "external"
)

// DisputeStatus is the state of a dispute.
type DisputeStatus string

// States of a dispute.
const (
	DisputeOpen     DisputeStatus = "open"
	DisputeResolved DisputeStatus = "resolved"
)

// VerificationMode says whether the server verifies a payment proof on the chain.
type VerificationMode string

// Verification modes of a payment proof.
const (
	VerifyRecorded VerificationMode = "recorded"
	VerifyRPC      VerificationMode = "rpc"
)

// SearchStatus is the result of a search.
type SearchStatus string

// Results of a search. A miss is a normal reply without quotes.
const (
	SearchCompleted SearchStatus = "completed"
	SearchNoMatch   SearchStatus = "no_match"
)

// PricingMode says how binding a quoted price is.
type PricingMode string

// Pricing modes.
const (
	PricingProviderDefined PricingMode = "provider-defined"
	PricingFixed           PricingMode = "fixed"
	PricingQuoteRequired   PricingMode = "quote-required"
)

// ReadinessStatus is the overall answer of the readiness call.
type ReadinessStatus string

// Readiness answers.
const (
	StatusReady    ReadinessStatus = "ready"
	StatusNotReady ReadinessStatus = "not_ready"
)

// CheckStatus is the answer of one readiness check.
type CheckStatus string

// Readiness check answers.
const (
	CheckPass CheckStatus = "pass"
	CheckFail CheckStatus = "fail"
)
