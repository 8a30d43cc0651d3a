// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// Stands in for USDC in the sandbox: six decimals, EIP-3009, the EIP-712 domain of the deployed token. It has no owner and
/// anyone may mint, so it must never hold value.
contract TestToken is ERC20, ERC3009 {
    constructor() ERC20("USDC", "USDC") EIP712("USDC", "2") {}

    /// Creates tokens from nothing.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// The version in the EIP-712 domain, which wallets of USDC read from the token.
    function version() external pure returns (string memory) {
        return "2";
    }

    /// The EIP-712 domain separator, under the name that USDC gives it.
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }
}
