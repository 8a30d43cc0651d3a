// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// Holds the price of an order until its payer releases it or it goes back. An order id can be locked once.
///
/// A lock is refused unless the allowance is exactly the amount, so that none stands after it: a payer that approves more than it
/// pays is a fault which the sandbox should show.
contract Escrow {
    using SafeERC20 for IERC20;

    enum State {
        None,
        Locked,
        Released,
        Refunded
    }

    struct Order {
        address payer;
        address payee;
        IERC20 token;
        uint256 amount;
        uint64 deadline;
        State state;
    }

    mapping(bytes32 orderId => Order) public orders;

    event Locked(
        bytes32 indexed orderId, address indexed payer, address indexed payee, address token, uint256 amount, uint256 deadline
    );
    event Released(bytes32 indexed orderId, address indexed payee, uint256 amount);
    event Refunded(bytes32 indexed orderId, address indexed payer, uint256 amount);

    error OrderExists(bytes32 orderId);
    error OrderNotLocked(bytes32 orderId);
    error InvalidTerms();
    error InexactAllowance(uint256 allowance, uint256 amount);
    error NotPermitted(address caller);

    /// Takes amount of token from the caller, who must have approved exactly that. The deadline is in Unix seconds: from then on the
    /// payer may take the money back.
    function lock(bytes32 orderId, IERC20 token, address payee, uint256 amount, uint256 deadline) external {
        require(orders[orderId].state == State.None, OrderExists(orderId));
        require(payee != address(0) && amount > 0 && deadline > block.timestamp && deadline <= type(uint64).max, InvalidTerms());
        uint256 allowance = token.allowance(msg.sender, address(this));
        require(allowance == amount, InexactAllowance(allowance, amount));
        // The check above bounds the conversion.
        orders[orderId] = Order(msg.sender, payee, token, amount, uint64(deadline), State.Locked);
        emit Locked(orderId, msg.sender, payee, address(token), amount, deadline);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// Pays the payee. Only the payer may.
    function release(bytes32 orderId) external {
        Order storage o = orders[orderId];
        require(o.state == State.Locked, OrderNotLocked(orderId));
        require(msg.sender == o.payer, NotPermitted(msg.sender));
        o.state = State.Released;
        emit Released(orderId, o.payee, o.amount);
        o.token.safeTransfer(o.payee, o.amount);
    }

    /// Pays the payer back. The payee may at any time, the payer from the deadline on.
    function refund(bytes32 orderId) external {
        Order storage o = orders[orderId];
        require(o.state == State.Locked, OrderNotLocked(orderId));
        require(msg.sender == o.payee || (msg.sender == o.payer && block.timestamp >= o.deadline), NotPermitted(msg.sender));
        o.state = State.Refunded;
        emit Refunded(orderId, o.payer, o.amount);
        o.token.safeTransfer(o.payer, o.amount);
    }
}
