#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Buy in a loop with the official Python SDK and print what it cost.

Argument: a JSON file with what a buyer of the sandbox needs (baseUrl, apiKey,
identityRef, ownerKey, agentKey, rpcUrl, and services: rail, id, serviceType,
operation and exampleInput of each). Registers a machine and pairs an agent,
then, unless --purchases is 0, buys on each --rail: a few to warm up, and the
counted ones. The last line of output is a JSON object with the machine, the
pairing and, per rail, purchases, CPU and wall seconds.

It is the best case for a loop on the SDK: one client for all, nothing stored,
nothing checked, nothing read again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

os.environ.setdefault("PEAQOS_TELEMETRY", "0")

from eth_account import Account
from eth_account.messages import encode_defunct
from peaq_os_sdk import PeaqosClient
from peaq_os_sdk.orchestration.types.agent_pairing import (
    AgentProofInput,
    CreateAgentPairingChallengeRequest,
    CreateAgentPairingRequest,
    DelegationPolicy,
)
from peaq_os_sdk.orchestration.types.machine import (
    CreateMachineIdentityChallengeRequest,
    CreateMachineRequest,
    MachineIdentityProofInput,
    UpdateMachineRequest,
)
from peaq_os_sdk.orchestration.types.market_order import (
    CreateMarketOrderBudget,
    CreateMarketOrderRequest,
    ExecuteMarketOrderRequest,
    NativeExecutionResponse,
    X402ExecutePayment,
)
from peaq_os_sdk.orchestration.types.market_search import MarketSearchRequest
from peaq_os_sdk.orchestration.types.payment import (
    CreatePaymentIntentRequest,
    PaymentIntentRailOptions,
    SubmitX402PaymentProofRequest,
)

PROVIDER, ROLE = "custom", "machine-market-buyer"
WARM = 5


class Buyer:
    """One machine with one paired agent."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.owner = Account.from_key(info["ownerKey"])
        self.agent = Account.from_key(info["agentKey"])
        self.sdk = PeaqosClient(
            rpc_url=info["rpcUrl"],
            private_key=info["agentKey"],
            orchestration_url=info["baseUrl"],
            api_key=info["apiKey"],
        ).orchestration
        self.machine = self.register()
        self.pairing, self.token = self.pair()

    def sign(self, account: Any, message: str) -> str:
        signed = account.sign_message(encode_defunct(text=message))
        return "0x" + bytes(signed.signature).hex()

    def register(self) -> str:
        challenge = self.sdk.create_machine_identity_challenge(
            CreateMachineIdentityChallengeRequest(identity_ref=self.info["identityRef"])
        ).item
        proof = MachineIdentityProofInput(
            challenge_id=challenge.challenge_id,
            signature=self.sign(self.owner, challenge.message),
        )
        machine = self.sdk.create_machine(
            CreateMachineRequest(
                display_name="peer",
                owner_id=self.owner.address,
                machine_type="edge-node",
                runtime_profile="linux-docker",
                identity_ref=self.info["identityRef"],
                identity_proof=proof,
            )
        ).item
        self.sdk.update_machine(machine.id, UpdateMachineRequest(status="active"))
        return str(machine.id)

    def pair(self) -> tuple[str, str]:
        challenge = self.sdk.create_agent_pairing_challenge(
            self.machine,
            CreateAgentPairingChallengeRequest(
                agent_address=self.agent.address,
                agent_provider=PROVIDER,
                agent_role=ROLE,
            ),
        ).item
        proof = AgentProofInput(
            challenge_id=challenge.challenge_id,
            signature=self.sign(self.agent, challenge.message),
        )
        pairing = self.sdk.create_agent_pairing(
            self.machine,
            CreateAgentPairingRequest(
                agent_address=self.agent.address,
                agent_provider=PROVIDER,
                agent_role=ROLE,
                agent_proof=proof,
                description="peer",
                delegation_policy=DelegationPolicy((), (), (), ()),
            ),
        ).item
        return str(pairing.id), str(pairing.pairing_token)

    def buy(self, service: dict[str, Any]) -> None:
        """One whole purchase: search, order, pay, execute, confirm."""
        found = self.sdk.search_market(
            MarketSearchRequest(
                machine_id=self.machine,
                agent_pairing_id=self.pairing,
                service_type=service["serviceType"],
                operation=service["operation"],
            ),
            self.token,
        ).item
        quote = next(q for q in found.quotes if q.service_id == service["id"])
        budget = None
        if quote.pricing.amount is not None:
            budget = CreateMarketOrderBudget(
                amount=quote.pricing.amount, currency=quote.pricing.currency
            )
        order = self.sdk.create_market_order(
            CreateMarketOrderRequest(
                machine_id=self.machine,
                agent_pairing_id=self.pairing,
                service_id=quote.service_id,
                search_id=found.id,
                quote_id=quote.id,
                operation=quote.operation,
                input_payload=service["exampleInput"],
                budget=budget,
            ),
            self.token,
        ).item
        signature = self.pay(order) if service["rail"] == "x402" else None
        reply = self.sdk.execute_market_order(
            order.id,
            ExecuteMarketOrderRequest(
                input=service["exampleInput"],
                payment=X402ExecutePayment(signature) if signature else None,
            ),
            self.token,
        )
        if not isinstance(reply, NativeExecutionResponse):
            raise SystemExit(f"order {order.id} was not executed")
        confirmed = self.sdk.confirm_market_order(order.id, self.token)
        if confirmed.order.status != "confirmed":
            raise SystemExit(f"order {order.id} is {confirmed.order.status}")

    def pay(self, order: Any) -> str:
        terms = order.payment
        payment = self.sdk.create_payment_intent(
            order.id,
            CreatePaymentIntentRequest(
                rail=PaymentIntentRailOptions(
                    type="x402",
                    chain=terms.chain,
                    token=terms.token,
                    token_address=terms.token_address,
                    payer_address=self.agent.address,
                    payee_address=terms.payee_address,
                )
            ),
            self.token,
        ).item
        signed = self.sdk.sign_x402_payment(payment, self.agent)
        metadata = {
            "header_name": signed.header_name,
            "network": signed.network,
            "asset": signed.asset,
            "amount": signed.amount,
            "service_id": order.service_id,
        }
        self.sdk.submit_x402_payment_proof(
            order.id,
            SubmitX402PaymentProofRequest(
                signed.payment_signature, signed.payment_reference, metadata
            ),
            self.token,
        )
        return str(signed.payment_signature)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("info", help="JSON file")
    parser.add_argument("--rail", action="append", default=[])
    parser.add_argument("--purchases", type=int, default=200)
    args = parser.parse_args()
    with open(args.info, encoding="utf-8") as file:
        info = json.load(file)
    buyer = Buyer(info)
    costs: dict[str, Any] = {}
    for rail in args.rail if args.purchases else []:
        service = next(s for s in info["services"] if s["rail"] == rail)
        for _ in range(WARM):
            buyer.buy(service)
        cpu, wall = time.process_time(), time.monotonic()
        for _ in range(args.purchases):
            buyer.buy(service)
        costs[rail] = {
            "purchases": args.purchases,
            "cpuSeconds": time.process_time() - cpu,
            "wallSeconds": time.monotonic() - wall,
        }
    print(
        json.dumps(
            {
                "machineId": buyer.machine,
                "pairingId": buyer.pairing,
                "pairingToken": buyer.token,
                "costs": costs,
            }
        )
    )


if __name__ == "__main__":
    main()
