public import EventBus

/// The storage of the order service's orders.
///
/// A store announces the orders that it stores: the call that changes an order also publishes its event
/// (``Order/created``, ``OrderStatus/event(for:)``). An in-memory store publishes it before the call returns. A store
/// in a database adds it to the transaction of the order, for a relay to publish.
public protocol OrderStore: Sendable {
    /// Stores an order as placed, unless there is one with its id, and announces it.
    ///
    /// - Returns: The order that is now stored under the id.
    /// - Throws: An error if the order was not stored or may not be announced. Insert it again in this case.
    func insert(_ order: Order) async throws -> Order

    /// Returns the order with this id and its status, or `nil` if there is none.
    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)?

    /// Ends a placed order, and announces its end. An order that has ended keeps its status.
    ///
    /// - Parameters:
    ///   - id: The order.
    ///   - status: The final status.
    ///   - context: The delivery that is being handled, which a store with an inbox records in the same transaction, or
    ///     `nil`.
    /// - Returns: The current status, or `nil` if there is no such order.
    /// - Throws: An error if the end was not stored or may not be announced. End it again in this case.
    func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus?

    /// Returns every order, in no particular order.
    func all() async throws -> [(order: Order, status: OrderStatus)]
}
